"""A REST service: JSON with ids, times, links and lists, some of whose orders matter."""

import json
import random
from typing import Any

from benchmarks.noisy_worlds.world import Facts, Noise, Trap, World, clock, hexadecimal, iso, one_of, uuid

PARTS = ("bolt", "gasket", "hinge", "lever", "nut", "pulley", "rivet", "screw", "spring", "valve")
TAGS = ("fragile", "heavy", "indoor", "metal", "spare", "tested")
CITIES = ("Bern", "Graz", "Lyon", "Oslo", "Porto", "Riga")


def order(f: Facts, n: Noise) -> dict[str, Any]:
    items = [{"part": part, "count": f.number(part, 1, 9)} for part in f.sample("parts", PARTS, 3)]
    return {
        "id": f.number("order", 100, 999),
        "status": f.decisive("status", "open"),
        "total": float(f.decisive("total", f"{f.number('total', 20, 400)}.5")),
        "due_date": f.decisive("due date", "2026-12-01"),
        "items": n.shuffled("order of items", items),  # type: ignore[type-var]
        "tags": n.shuffled("order of tags", f.sample("tags", TAGS, 3)),
        "updated_at": n("times of updates", "2026-03-03T10:15:01Z", iso),
        "etag": n("etags", 'W/"1"', lambda r: f'W/"{hexadecimal(r, 8)}"'),
        "self": n("signed links", "/orders/1", lambda r: f"/orders/1?expires={r.randint(10**9, 2 * 10**9)}&signature={hexadecimal(r, 16)}"),
    }


def ranking(f: Facts, n: Noise) -> dict[str, Any]:
    found = f.sample("ranked", CITIES, 3)
    best = f.decisive("best", found[0])
    found = [best, *(city for city in found if city != best)]
    return {
        "results": [{"rank": rank, "depot": city} for rank, city in enumerate(found, 1)],
        "score_ms": int(n("scoring times", "12", lambda r: str(r.randint(1, 900)))),
        "cursor": n("cursors", "next", lambda r: "".join(r.choices("ABCDEFGHabcdefgh0123456789", k=16))),
        "shards": json.loads(
            n("shards", '{"ok": 5, "skipped": 0}', lambda r: json.dumps({"ok": r.randint(3, 9), "skipped": r.randint(0, 3)}))
        ),
    }


def stock(f: Facts, n: Noise) -> dict[str, Any]:
    sensors = {city: int(n("sensor readings", "20", lambda r: str(r.randint(15, 25)))) for city in ("Bern", "Oslo")}
    return {
        "part": f.choice("part", PARTS), "quantity": int(f.decisive("quantity", str(f.number("quantity", 10, 99)))),
        "reserved": f.number("reserved", 0, 9), "temperature": sensors,
        "depots": n.shuffled("order of depots", f.sample("depots", CITIES, 3)),
    }  # fmt: skip


def account(f: Facts, n: Noise) -> dict[str, Any]:
    return {
        "user": f.decisive("user", "guest"), "can_write": f.decisive("permission", "true") == "true",
        "plan": f.choice("plan", ("free", "team", "pro")),
        "last_seen": n("last seen", "today", lambda r: r.choice(["today", "yesterday", f"{r.randint(2, 30)} days ago"])),
        "session": {"token": n("tokens", "t0", lambda r: hexadecimal(r, 32)),
            "expires_in": int(n("expiries", "3600", lambda r: str(r.randint(60, 3_600))))},
    }  # fmt: skip


CALLS = {
    "": lambda f, n: {"service": "depot", "task": f.task},
    "GET /orders/1": order, "GET /depots?sort=best": ranking, "GET /stock": stock, "GET /me": account, "POST /quotes": order,
}  # fmt: skip


def spread(value: dict[str, Any], n: Noise) -> dict[str, Any]:
    """Objects with their keys in another order."""
    return {key: value[key] for key in n.shuffled("order of keys", list(value))}


def written(value: dict[str, Any], rng: random.Random) -> str:
    return json.dumps(value, indent=rng.choice([None, 2, 4]))


def answer(action: str, f: Facts, n: Noise) -> str:
    known = CALLS.get(action)
    body: dict[str, Any] = known(f, n) if known else {"accepted": action.partition(" ")[0], "position": f.number("position", 1, 40)}
    extra: dict[str, str] = {
        "request_id": n("request ids", "", uuid),
        "server": n("servers", "", lambda r: f"node-{r.randint(1, 60)}.depot.internal", once=True),
        "warning": n.sometimes("warnings", lambda r: f"field 'legacy_{r.randint(1, 9)}' is deprecated", 0.4),
        "cache": n("cache flags", "", one_of("hit", "miss")),
        "build": n("builds", "", lambda r: f"2026.{r.randint(1, 12)}.{r.randint(0, 40)}+{hexadecimal(r, 7)}", once=True),
        "notice": n.sometimes("notices", lambda r: f"Maintenance on {r.choice(['Sunday', 'Monday'])} at {clock(r, '{:02}:{:02}')}", 0.5),
    }
    body |= {key: value for key, value in extra.items() if value}
    meta = n("rate limits", "", lambda r: str(r.randint(1, 999)))
    body |= {"meta": {"limit": 1000, "remaining": int(meta)}} if meta else {}
    trace = n("nested traces", "", lambda r: hexadecimal(r, 16))
    body |= {"debug": {"trace": {"id": trace, "hops": [f"edge-{trace[0]}", f"core-{trace[1]}"]}}} if trace else {}
    null = n.sometimes("keys without a value", lambda _: "x")
    body |= {"comment": None} if null else {}
    text = n("indentation", json.dumps(spread(body, n)), lambda r: written(body, r))
    line = f"HTTP {f.decisive('code', '200')}"
    took = n("response times", "", lambda r: f" ({r.randint(2, 900)} ms)")
    date = n("date headers", "", lambda r: f"\nDate: {iso(r)}")
    served = n.sometimes("headers of proxies", lambda r: f"\nVia: 1.1 proxy-{r.randint(1, 30)}", 0.5)
    retries = n.sometimes("retries", lambda r: f"retrying ({r.randint(1, 5)} of 5)...\n", 0.4)
    return f"{retries}{line}{took}{date}{served}\n{text}"


SERVICE = World(
    "service",
    tuple(CALLS)[1:],
    answer,
    (
        Trap("status", one_of("open", "blocked"), lambda v: "POST /ship {}" if v == "open" else "POST /unblock {}", lambda v: v == "open"),
        Trap(
            "total",
            lambda r: f"{r.choice([20, 45, 60, 900, 950, 999])}.5",
            lambda v: "POST /pay {}" if float(v) < 100 else "POST /approval {}",
            lambda v: float(v) < 100,
        ),
        Trap(
            "due date",
            one_of("2026-12-01", "2026-03-04"),
            lambda v: "GET /stock" if v > "2026-06" else "POST /express {}",
            lambda v: v > "2026-06",
        ),
        Trap("best", one_of("Bern", "Oslo", "Riga"), lambda v: f'POST /send {{"to": "{v}"}}', lambda v: v == "Oslo"),
        Trap("quantity", one_of("0", "3", "80"), lambda v: "POST /reorder {}" if v == "0" else "POST /pick {}", lambda v: v != "0"),
        Trap(
            "user", lambda r: f"{r.choice(['mia', 'omar', 'yara'])}_{r.randint(100, 999)}", lambda v: f"GET /users/{v}", lambda v: v < "n"
        ),
        Trap(
            "permission", one_of("true", "false"), lambda v: "POST /quotes" if v == "true" else "POST /ask-access {}", lambda v: v == "true"
        ),
        Trap("code", one_of("200", "409"), lambda v: "GET /me" if v == "200" else "POST /retry {}", lambda v: v == "200"),
    ),
)
