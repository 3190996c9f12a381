"""Shared types: API payloads and endpoints, warehouse tables. Imports no other package of ours."""
