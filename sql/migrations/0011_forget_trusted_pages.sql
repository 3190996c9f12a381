-- purpose: drop what was written and never read back: each run earns its trust in single pages anew

alter table sync.paging_habits drop column trusted_page;
