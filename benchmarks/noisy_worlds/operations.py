"""An operator's shell: listings, the journal, containers, commits, headers."""

import random

from benchmarks.noisy_worlds.world import DAYS, MONTHS, Facts, Noise, Trap, World, clock, hexadecimal, month_day, one_of

FILES = ("app.conf", "deploy.sh", "notes.md", "worker.py", "backup.tar", "cert.pem", "routes.json")
MESSAGES = (
    "Started worker pool.",
    "Listening on socket.",
    "Reloaded configuration.",
    "Rotated logs.",
    "Accepted upstream.",
    "Flushed queue.",
)
SERVICES = ("api", "cache", "proxy", "mailer", "search")
SUBJECTS = ("Fix the queue", "Add a probe", "Raise the limit", "Drop old routes", "Bump the base image")
NAMES = (
    "brave_morse",
    "calm_turing",
    "eager_noether",
    "jolly_hopper",
    "keen_euler",
    "sleepy_gauss",
    "zen_lamport",
    "witty_curie",
    "nice_bohr",
)


def listing(f: Facts, n: Noise) -> str:
    rows = []
    for name in sorted(f.sample("files", FILES, 4)):
        when = n("dates of ls -l", "Mar  3 10:15", lambda r: f"{month_day(r)} {clock(r, '{:02}:{:02}')}")
        owner = f.decisive("owner", "deploy") if name == "deploy.sh" or len(rows) == 3 else "deploy"
        inode = n("inodes", "", lambda r: f"{r.randint(100_000, 9_999_999)} ")
        rows.append(f"{inode}-rw-r--r-- 1 {owner} staff {f.number(name, 100, 9_000):>6} {when} {name}")
    total = n("total of ls -l", "48", lambda r: str(r.randint(20, 400)))
    return "\n".join([f"total {total}", *n.shuffled("unsorted listings", rows)])


def journal(f: Facts, n: Noise) -> str:
    lines = []
    for message in f.sample("messages", MESSAGES, 3):
        when = n("journal times", "Mar 03 10:15:01", lambda r: f"{r.choice(MONTHS)} {r.randint(1, 28):02} {clock(r)}")
        host = n("journal hosts", "web", lambda r: f"ip-10-0-{r.randint(0, 255)}-{r.randint(0, 255)}", once=True)
        pid = n("journal pids", "812", lambda r: str(r.randint(300, 65_000)))
        lines.append(f"{when} {host} web[{pid}]: {message}")
        other = n.sometimes(
            "lines of other services", lambda r: f"Mar 03 10:15:01 web CRON[91]: pam_unix(cron:session): uid {r.randint(0, 99)}", 0.3
        )
        lines += [other] if other else []
    errors = f.decisive("errors", "0")
    boot = n.sometimes("boot marks", lambda r: f"-- Boot {hexadecimal(r, 32)} --\n")
    return f"{boot}" + "\n".join(lines) + f"\n{errors} errors in this unit"


def containers(f: Facts, n: Noise) -> str:
    rows = ["CONTAINER ID   IMAGE      STATUS          PORTS     NAMES"]
    for service in f.sample("services", SERVICES, 2):
        short = n("container ids", "4f2a9c01be77", lambda r: hexadecimal(r, 12))
        up = n(
            "uptimes",
            "Up 3 hours",
            lambda r: r.choice([f"Up {r.randint(2, 59)} minutes", f"Up {r.randint(2, 23)} hours", "Up About an hour"]),
        )
        health = f.decisive("health", "healthy")
        port = n("published ports", "0.0.0.0:8080", lambda r: f"0.0.0.0:{r.randint(32_768, 60_999)}")
        name = n("container names", f"{service}_1", lambda r: r.choice(NAMES))
        gap = n("column widths", "   ", lambda r: " " * r.randint(2, 9), once=True)
        rows.append(f"{short}{gap}{service}:{f.number(service, 1, 9)}{gap}{up} ({health}){gap}{port}->80/tcp{gap}{name}")
    return "\n".join(rows)


def commits(f: Facts, n: Noise) -> str:
    blocks = []
    for subject in f.sample("subjects", SUBJECTS, 2):
        name = n("commit hashes", "9fceb02d0ae598e95dc970b74767f19372d61af8", lambda r: hexadecimal(r, 40))
        date = n(
            "commit dates",
            "Tue Mar 3 10:15:01 2026 +0000",
            lambda r: f"{r.choice(DAYS)} {r.choice(MONTHS)} {r.randint(1, 28)} {clock(r)} 2026 +0000",
        )
        blocks.append(f"commit {name}\nAuthor: Ada <ada@corp.example>\nDate:   {date}\n\n    {subject}")
    return "\n\n".join(blocks)


def written_date(rng: random.Random) -> str:
    return f"{rng.choice(DAYS)}, {rng.randint(1, 28):02} {rng.choice(MONTHS)} 2026 {clock(rng)} GMT"


def headers(f: Facts, n: Noise) -> str:
    fields = [
        f"Date: {n('date headers', 'Tue, 03 Mar 2026 10:15:01 GMT', written_date)}",
        f"Content-Length: {f.number('length', 100, 9_000)}",
        f"Server: {n('server versions', 'nginx', lambda r: r.choice(['nginx', 'nginx/1.24.0', 'nginx/1.25.3']))}",
        f"X-Cache: {n('cache headers', 'HIT', lambda r: r.choice(['HIT', 'MISS', 'STALE']))}",
        f"X-Request-Id: {n('request ids', 'r-0001', lambda r: hexadecimal(r, 16))}",
        f"Age: {n('ages', '0', lambda r: str(r.randint(0, 3_599)))}",
    ]
    extra = n.sometimes("optional headers", lambda r: f"Strict-Transport-Security: max-age={r.choice([300, 600])}")
    fields = n.shuffled("order of headers", fields + ([extra] if extra else []))
    fields = [
        n.changed("case of headers", field, lambda text, _: text.partition(":")[0].lower() + ":" + text.partition(":")[2])
        for field in fields
    ]
    return "\n".join([f"HTTP/1.1 {f.decisive('status', '200')}", *fields])


def status(f: Facts, n: Noise) -> str:
    since = n(
        "start times",
        "2026-03-03 10:15:01 UTC; 2h ago",
        lambda r: f"2026-{r.randint(1, 12):02}-{r.randint(1, 28):02} {clock(r)} UTC; {r.randint(2, 59)}min ago",
    )
    memory = n("memory in use", "41.2M", lambda r: f"{r.randint(20, 200)}.{r.randint(0, 9)}M")
    load = n("load averages", "0.10, 0.08, 0.01", lambda r: ", ".join(f"{r.random() * 3:.2f}" for _ in range(3)))
    return (
        f"web.service - Web front end\n   Active: active (running) since {since}\n"
        f" Main PID: {n('main pids', '812', lambda r: str(r.randint(300, 65_000)))} (web)\n"
        f"    Tasks: {f.number('threads', 2, 40)}\n   Memory: {memory}\nload average: {load}\nlast exit code {f.decisive('exit code', '0')}"
    )


def disk(f: Facts, n: Noise) -> str:
    free = n("free blocks", "41283016", lambda r: str(r.randint(10_000_000, 99_999_999)))
    ping = n("round trips", "0.41", lambda r: f"{r.random() * 90:.2f}")
    return (
        f"Filesystem 1K-blocks Available Use% Mounted on\n/dev/sdb1 103081248 {free} {f.decisive('use of the disk', '41%')} /data\n"
        f"certificate valid until {f.decisive('expiry', '2027-01-31')}\n"
        f"snapshots kept: {f.number('snapshots', 2, 9)}\n64 bytes from gateway: time={ping} ms"
    )


COMMANDS = {
    "": lambda f, n: f"Incident {f.task}: the site is slow.",
    "ls -l /srv": listing, "journalctl -u web -n 3": journal, "docker ps": containers, "git log -2": commits,
    "curl -sI http://web/": headers, "systemctl status web": status, "df /data; ping -c1 gateway": disk,
}  # fmt: skip


def answer(action: str, f: Facts, n: Noise) -> str:
    body = COMMANDS[action](f, n) if action in COMMANDS else f"{action}: done, {f.number('units', 2, 90)} units changed"
    login = n.sometimes(
        "last logins",
        lambda r: f"Last login: {r.choice(DAYS)} {month_day(r)} {clock(r)} 2026 from 10.0.{r.randint(0, 255)}.{r.randint(1, 254)}\n",
    )
    mail = n.sometimes("mail notices", lambda r: f"\nYou have {r.choice(['new mail', 'mail'])} in /var/mail/deploy")
    warning = n.sometimes(
        "sudo warnings",
        lambda r: f"sudo: unable to resolve host ip-{r.randint(1, 250)}-{r.randint(1, 250)}: Name or service not known\n",
        0.4,
    )
    prompt = n("prompts", "", lambda r: f"\ndeploy@web-{r.randint(1, 400)}:/srv$", once=True)
    took = n.sometimes("durations of commands", lambda r: f"\n[took {r.random() * 9:.2f}s]")
    bar = n.sometimes("progress bars", lambda r: f"Loading [{'#' * r.randint(1, 9)}{'.' * r.randint(1, 9)}] {r.randint(1, 99)}%\n")
    body = n.changed("colours", body, lambda text, _: "\n".join(f"\x1b[0;32m{line}\x1b[0m" for line in text.split("\n")))
    return f"{login}{warning}{bar}{body}{took}{mail}{prompt}"


OPERATIONS = World(
    "operations",
    tuple(COMMANDS)[1:],
    answer,
    (
        Trap("owner", one_of("deploy", "root"), lambda v: f"sudo -u {v} ./deploy.sh", lambda v: v == "deploy"),
        Trap("errors", one_of("0", "3", "17"), lambda v: "ls -l /srv" if v == "0" else f"journalctl -p err -n {v}", lambda v: v == "0"),
        Trap(
            "health",
            one_of("healthy", "unhealthy"),
            lambda v: "git log -2" if v == "healthy" else "docker restart",
            lambda v: v == "healthy",
        ),
        Trap(
            "status",
            one_of("200", "503"),
            lambda v: "df /data; ping -c1 gateway" if v == "200" else "systemctl restart web",
            lambda v: v == "200",
        ),
        Trap(
            "exit code",
            one_of("0", "1", "137"),
            lambda v: {"0": "docker ps", "1": "journalctl -xe", "137": "raise the limit"}[v],
            lambda v: v == "0",
        ),
        Trap(
            "use of the disk",
            lambda r: f"{r.choice([38, 41, 44, 97, 98, 99])}%",
            lambda v: "docker system prune" if v > "90" else "git log -2",
            lambda v: v < "90",
        ),
        Trap(
            "expiry",
            one_of("2026-03-05", "2027-01-31"),
            lambda v: "certbot renew" if v < "2026-06" else "docker ps",
            lambda v: v > "2026-06",
        ),
    ),
)
