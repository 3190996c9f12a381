"""Owns psycopg and the SQLAlchemy engine: sessions, migrations, staging, publish, outbox."""
