-- purpose: begin a run of a feed for a window
-- parameters: feed, first, last
-- tag: run-begun
insert into sync.runs (feed, window_from, window_to)
values (%(feed)s, %(first)s, %(last)s)
returning run_id;
