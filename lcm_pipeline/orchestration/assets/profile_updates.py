"""The outbox as Dagster shows it: what analysts fill and `push_profiles` sends.

A spec, not a materializable asset: materializing all assets must never write to the API.
"""

import dagster as dg

profile_updates = dg.AssetSpec(
    "profile_updates",
    group_name="write_back",
    kinds={"postgres", "http"},
    description="One row per update of a client's profile, in `outbox.profile_updates`.\n\nFilled"
    " by SQL, by `lcm push --csv`, or by an asset of yours; sent to ClientUpdate by the job"
    " `push_profiles` or by `lcm push`, and by nothing else.",
)
