"""Airbyte: a declarative source of the CDK, 20 workers, to standard output: no destination.

Runs in a separate virtual environment. A destination would run in a container of its own and double
the cost; only reading, and writing the records as JSON lines, is measured.
"""

import argparse
import json
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from airbyte_cdk.entrypoint import launch
from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
    ConcurrentDeclarativeSource,
)

_WORKERS = 20
_PAGE = 500
_SCHEMA = {
    "type": "InlineSchemaLoader",
    "schema": {"type": "object", "additionalProperties": True, "properties": {}},
}


def _stream(name: str, path: str, rows: list[str], body: dict[str, str], **parts: Any) -> Any:
    return {
        "type": "DeclarativeStream",
        "name": name,
        "primary_key": [],
        "schema_loader": _SCHEMA,
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {
                "type": "HttpRequester",
                "url_base": "{{ config['api'] }}",
                "path": f"/api/client/{path}",
                "http_method": "POST",
                "request_body_json": body,
            },
            "record_selector": {
                "type": "RecordSelector",
                "extractor": {"type": "DpathExtractor", "field_path": rows},
            },
            **parts,
        },
    }


def _of_clients(name: str, path: str, rows: list[str], registrations: Any) -> Any:
    """A stream that is requested for each client, page by page."""
    body = {"Client": "{{ stream_partition.client }}"}
    router = {
        "type": "SubstreamPartitionRouter",
        "parent_stream_configs": [
            {
                "type": "ParentStreamConfig",
                "stream": registrations,
                "parent_key": "Client",
                "partition_field": "client",
            }
        ],
    }
    paginator = {
        "type": "DefaultPaginator",
        "page_size_option": _in_body("Length"),
        "page_token_option": _in_body("Start"),
        "pagination_strategy": {
            "type": "OffsetIncrement",
            "page_size": _PAGE,
            "inject_on_first_request": True,
        },
    }
    return _stream(name, path, rows, body, partition_router=router, paginator=paginator)


def _in_body(field: str) -> dict[str, str]:
    return {"type": "RequestOption", "inject_into": "body_json", "field_name": field}


def _manifest(days: list[str]) -> dict[str, Any]:
    day = "{{ stream_partition.day }}"
    registrations = _stream(
        "registrations",
        "ClientInfoPeriod",
        ["Clients"],
        {"BegDate": f"{day}T00:00:00", "EndDate": f"{day}T23:59:59"},
        partition_router={"type": "ListPartitionRouter", "values": days, "cursor_field": "day"},
    )
    return {
        "version": "7.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["registrations"]},
        "concurrency_level": {"type": "ConcurrencyLevel", "default_concurrency": _WORKERS},
        "streams": [
            registrations,
            _of_clients("operations", "OperationHistory", ["Operations"], registrations),
            _of_clients("leads", "LeadsPagingInfo", ["LeadsClients"], registrations),
            _of_clients("favourites", "ClientFavoriteDataInfo", [], registrations),
        ],
        "spec": {
            "type": "Spec",
            "connection_specification": {"type": "object", "properties": {}},
        },
    }


def _catalog(names: list[str]) -> dict[str, Any]:
    return {
        "streams": [
            {
                "stream": {
                    "name": name,
                    "json_schema": {"type": "object"},
                    "supported_sync_modes": ["full_refresh"],
                },
                "sync_mode": "full_refresh",
                "destination_sync_mode": "append",
            }
            for name in names
        ]
    }


def main() -> None:
    """Parse the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--api", required=True)
    parser.add_argument("--database", help="unused: there is no destination")
    parser.add_argument("--first", type=date.fromisoformat, required=True)
    parser.add_argument("--days", type=int, required=True)
    flags = parser.parse_args()
    days = [str(flags.first + timedelta(days=number)) for number in range(flags.days)]
    manifest, config = _manifest(days), {"api": flags.api}
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        names = [stream["name"] for stream in manifest["streams"]]
        for name, content in (("config", config), ("catalog", _catalog(names))):
            paths[name] = Path(folder) / f"{name}.json"
            paths[name].write_text(json.dumps(content))
        source = ConcurrentDeclarativeSource(
            catalog=None, config=config, state=None, source_config=manifest
        )
        options = ["--config", str(paths["config"]), "--catalog", str(paths["catalog"])]
        launch(source, ["read", *options])


if __name__ == "__main__":
    main()
