-- purpose: what rows are taken for where no field of the source says, and what speaks against it
select
    convention,
    used,
    source,
    detected,
    votes,
    share,
    doubt,
    parameter
from mart.conventions;
