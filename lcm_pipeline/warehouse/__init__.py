"""All access to Postgres: sessions, migrations, staging, publish, marts, outbox."""
