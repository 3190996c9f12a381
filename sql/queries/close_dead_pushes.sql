-- purpose: close the pushes of processes that ended without closing them
update outbox.pushes
set status = 'died', finished_at = now(), error = 'its process ended'
where status = 'running';
