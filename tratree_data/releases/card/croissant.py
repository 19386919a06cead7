"""croissant.json: what a release holds, as Croissant 1.1, with the statements on responsible use (RAI) that NeurIPS asks of datasets.

Everything is taken from the release: files and columns from the manifest and the schemas, provenance from the lineage, limits from the
card, personal data from the redaction report. What only people can judge is general, and replaced by what the publisher says (`--about`).
"""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tratree_data.releases.card.about import About
from tratree_data.releases.card.front_matter import TAGS
from tratree_data.store.published.manifest import Manifest
from tratree_data.store.schemas import released_schema, storage_type, table_schema

CROISSANT = "croissant.json"
REPOSITORY = "repository"
NO_HASH = "https://github.com/mlcommons/croissant/issues/80"
"""The placeholder that Croissant files use for the hash of a Git repository: Croissant requires one, and Git has none."""
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
SPDX = {
    "apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause", "cc0-1.0": "CC0-1.0", "cc-by-4.0": "CC-BY-4.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0", "cc-by-nc-4.0": "CC-BY-NC-4.0", "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0", "odc-by": "ODC-By-1.0",
}  # fmt: skip
USES = (
    "Studying where runs of agents diverge, and training agents on demonstrations and preferences. Not suited to judging agents or models "
    "beyond these tasks, nor to training systems that act without supervision."
)
IMPACT = (
    "Data on failures can make agents more reliable and their training easier to trace. Agents trained on them may also act with more "
    "confidence than is warranted, and repeat errors and habits of the agents that acted here."
)
MAINTENANCE = (
    "A published version never changes; corrections and additions are new versions, whose numbers say what changed. A version may be "
    "withdrawn, with the reason."
)


def croissant_text(facts: Mapping[str, Any]) -> str:
    """The file, from what the card says (releases/card/card.py)."""
    manifest: Manifest = facts["manifest"]
    about: About = facts["about"]
    tables = [name for name, entry in manifest.tables.items() if entry["shards"]]
    named = SPDX.get(facts["license"])
    content = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": facts["title"],
        "description": _description(facts),
        "version": manifest.version,
        "datePublished": about.published and about.published.isoformat(),
        "isLiveDataset": False,
        "keywords": TAGS,
        "citeAs": facts["citation"],
        "url": facts["web"] or None,
        "license": f"https://spdx.org/licenses/{named}.html" if named else None if facts["license"] == "unknown" else facts["license"],
        "inLanguage": list(about.language) or None,
        "creator": [{"@type": "sc:Person", "name": name} for name in about.authors] or None,
        **_responsible(facts),
        "distribution": [*_repository(facts), *(_files(name, bool(facts["web"])) for name in tables)],
        "recordSet": [_records(name) for name in tables],
    }
    return json.dumps({key: value for key, value in content.items() if value is not None}, indent=1, ensure_ascii=False) + "\n"


def _description(facts: Mapping[str, Any]) -> str:
    overview = facts["overview"]
    where = ", ".join(sorted({place["name"] for place in facts["environments"]}))
    said = facts["about"].summary or "Trajectory trees of agents' attempts, successes and failures alike."
    return f"{said} {overview['rollouts']:,} rollouts at {overview['tasks']:,} tasks in {where}: {facts['acted']}."


def _responsible(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The eight properties that NeurIPS requires, and others that follow from the release."""
    about: About = facts["about"]
    overview = facts["overview"]
    places = [f"{place['name']}: {place['text']}" if place["text"] else place["name"] for place in facts["environments"]]
    solved = f"{overview['solved']:,} of {overview['rollouts']:,} rollouts solved their task."
    found = facts["redacted"]
    said = {
        "dataCollection": f"Agents attempted tasks: {facts['acted']}. Environments: {'; '.join(places)}",
        "dataLimitations": [*facts["limits"], f"{facts['judges']}."],
        "dataBiases": [
            f"The runs show the habits and errors of what acted ({facts['acted']}), in these environments only. {solved}",
            facts["written"],
        ],
        "personalSensitiveInformation": "Secrets and personal data were searched by rules and replaced in every table; "
        + (f"found: {found}." if found else "none were found.")
        + " Rules do not find everything.",
        "dataUseCases": USES,
        "dataSocialImpact": IMPACT,
        "dataReleaseMaintenancePlan": MAINTENANCE,
    }
    said |= about.statements
    return {
        **{f"rai:{name}": value for name, value in sorted(said.items())},
        "rai:dataCollectionType": ["Secondary Data Analysis" if facts["source_rows"] else "Experiments"],
        "rai:hasSyntheticData": True,
        "prov:wasDerivedFrom": _sources(facts),
        "prov:wasGeneratedBy": _activities(facts["manifest"]),
    }


def _sources(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The logs that rollouts were imported from, where the import named them, and the environments that agents acted in."""
    logs = [
        {"@type": "prov:Entity", "prov:label": row["source"], "sc:license": row["license"], "sc:creditText": row["credit"]}
        for row in facts["source_rows"]
    ]
    places = [{"@type": "prov:Entity", "prov:label": f"{place['name']} {place['version']}".strip()} for place in facts["environments"]]
    return [{key: value for key, value in source.items() if value != "–"} for source in [*logs, *places]]


def _activities(manifest: Manifest) -> list[dict[str, Any]]:
    """Each stage that made tables, with its settings."""
    made: dict[tuple[str, str], list[str]] = {}
    for name, entry in manifest.tables.items():
        if entry["lineage"]:
            settings = json.dumps(entry["lineage"]["settings"], ensure_ascii=False, sort_keys=True)
            made.setdefault((entry["lineage"]["stage"], settings), []).append(name)
    return [
        {"@type": "prov:Activity", "prov:label": stage, "sc:description": settings, "prov:generated": tables}
        for (stage, settings), tables in made.items()
    ]


def _repository(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not facts["web"]:
        return []
    version = facts["manifest"].version
    return [
        {
            "@type": "cr:FileObject",
            "@id": REPOSITORY,
            "name": REPOSITORY,
            "contentUrl": f"{facts['web']}/tree/v{version}",
            "encodingFormat": "git+https",
            "sha256": NO_HASH,
        }
    ]


def _files(table: str, on_the_hub: bool) -> dict[str, Any]:
    files = {
        "@type": "cr:FileSet",
        "@id": f"{table}-files",
        "name": f"{table}-files",
        "encodingFormat": "application/x-parquet",
        "includes": f"data/{table}/*.parquet",
    }
    return files | ({"containedIn": {"@id": REPOSITORY}} if on_the_hub else {})


def _records(table: str) -> dict[str, Any]:
    schema = table_schema(table)
    fields = [_field(table, column.name, storage_type(column.type), schema.comments[column.name]) for column in released_schema(table)]
    return {
        "@type": "cr:RecordSet",
        "@id": table,
        "name": table,
        "description": schema.comment,
        **({"key": [{"@id": f"{table}/{name}"} for name in schema.primary_key]} if schema.primary_key else {}),
        "field": fields,
    }


def _field(table: str, name: str, kind: pa.DataType, meaning: str) -> dict[str, Any]:
    """A column; messages are fields of a field. Lists of structs inside structs are left out: Croissant's paths lead to single values."""
    item = kind.value_type if pa.types.is_list(kind) else kind
    head = {"@type": "cr:Field", "@id": f"{table}/{name}", "name": name, "description": meaning, **_shape(kind)}
    source = {"fileSet": {"@id": f"{table}-files"}, "extract": {"column": name}}
    if not pa.types.is_struct(item):
        return {**head, "dataType": _data_type(item), "source": source}
    return {
        **head,
        "subField": [
            {
                "@type": "cr:Field",
                "@id": f"{table}/{name}/{part.name}",
                "name": part.name,
                "dataType": _data_type(part.type.value_type if pa.types.is_list(part.type) else part.type),
                **_shape(part.type),
                "source": {**source, "transform": {"jsonPath": part.name}},
            }
            for part in item
            if not (pa.types.is_list(part.type) and pa.types.is_struct(part.type.value_type))
        ],
    }


def _shape(kind: pa.DataType) -> dict[str, Any]:
    return {"isArray": True, "arrayShape": "-1"} if pa.types.is_list(kind) else {}


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
