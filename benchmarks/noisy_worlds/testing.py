"""A coding agent's test runs: timings, temporary paths, addresses, hashes; and counts, lines and exit codes that decide."""

from benchmarks.noisy_worlds.world import Facts, Noise, Trap, World, clock, hexadecimal, one_of

MODULES = ("parser", "lexer", "cache", "store", "routes", "models", "forms")
PLUGINS = ("cov-5.0.0", "xdist-3.6.1", "mock-3.14.0", "anyio-4.4.0")


def pytest(f: Facts, n: Noise) -> str:
    module, line = f.choice("module", MODULES), f.decisive("line", str(f.number("line", 10, 300)))
    seed = n("random seeds", "", lambda r: f"Using --randomly-seed={r.randint(10**8, 4 * 10**9)}\n")
    plugins = ", ".join(n.shuffled("order of plugins", PLUGINS))
    address = n("addresses", "0x7f0000000000", lambda r: f"0x7f{hexadecimal(r, 10)}")
    path = n("temporary paths", "/tmp/work", lambda r: f"/tmp/pytest-of-dev/pytest-{r.randint(0, 900)}/test_{r.randint(0, 9)}0")
    took = n("times of tests", "1.20s", lambda r: f"{r.randint(0, 90)}.{r.randint(0, 99):02}s")
    warnings = n("counts of warnings", "", lambda r: f", {r.randint(1, 40)} warnings")
    workers = n("workers", "", lambda r: f"[gw{r.randint(0, 7)}] ")
    slowest = n(
        "slowest durations",
        "",
        lambda r: "\n" + "\n".join(f"{r.random() * 3:.2f}s call     test_{name}.py" for name in r.sample(MODULES, 2)),
    )
    failed = f.decisive("failures", str(f.number("failures", 1, 5)))
    return (
        f"{seed}plugins: {plugins}\nrootdir: {path}\n{workers}test_{module}.py:{line}: AssertionError: "
        f"<Node object at {address}>{slowest}\n"
        f"==== {failed} failed, {f.number('passed', 10, 90)} passed{warnings} in {took} ===="
    )


def diff(f: Facts, n: Noise) -> str:
    module = f.choice("changed", MODULES)
    index = n("index lines", "1111111..2222222", lambda r: f"{hexadecimal(r, 7)}..{hexadecimal(r, 7)}")
    crlf = n.sometimes("warnings of git", lambda _: f"warning: LF will be replaced by CRLF in src/{module}.py\n", 0.5)
    when = n("times in diffs", "", lambda r: f"\t2026-03-{r.randint(1, 28):02} {clock(r)}.{r.randint(0, 10**9 - 1):09} +0000")
    return (
        f"{crlf}index {index} 100644\n--- a/src/{module}.py{when}\n+++ b/src/{module}.py{when}\n"
        f"-    return {f.number('old', 0, 99)}\n+    return {f.number('new', 0, 99)}"
    )


def install(f: Facts, n: Noise) -> str:
    speed = n("download speeds", "1.0 MB/s", lambda r: f"{r.randint(1, 99)}.{r.randint(0, 9)} {r.choice(['MB/s', 'kB/s'])}")
    cached = n("cached downloads", "Downloading", lambda r: r.choice(["Downloading", "Using cached"]))
    wheel = n(
        "ephemeral wheels",
        "",
        lambda r: (
            f"\n  Stored in directory: /tmp/pip-ephem-wheel-cache-{hexadecimal(r, 8)}/wheels/{hexadecimal(r, 2)}/{hexadecimal(r, 20)}"
        ),
    )
    notice = n.sometimes(
        "notices of releases", lambda r: f"\n[notice] A new release of pip is available: 24.0 -> 24.{r.randint(1, 9)}", 0.5
    )
    return (
        f"Collecting lib-{f.number('lib', 1, 9)}\n  {cached} lib.whl ({f.number('size', 10, 900)} kB) at {speed}{wheel}\n"
        f"Successfully installed lib, Python {f.decisive('version', '3.12')}{notice}"
    )


def coverage(f: Facts, n: Noise) -> str:
    rows = [f"src/{name}.py {f.number(name, 20, 99)}%" for name in f.sample("covered", MODULES, 3)]
    when = n("times of reports", "", lambda r: f"coverage.py v7.5, created at 2026-03-{r.randint(1, 28):02} {clock(r, '{:02}:{:02}')}\n")
    return when + "\n".join(n.shuffled("order of files", rows)) + f"\nTOTAL {f.decisive('coverage', str(f.number('total', 40, 90)))}%"


def build(f: Facts, n: Noise) -> str:
    jobs = [f"[{place}/3] CC src/{name}.o" for place, name in enumerate(f.sample("objects", MODULES, 3), 1)]
    took = n("times of builds", "2.1s", lambda r: f"{r.randint(0, 3)}m{r.randint(0, 59)}.{r.randint(0, 999):03}s")
    sandbox = n("sandboxes", "/build", lambda r: f"/var/lib/sandbox-{r.randint(1_000, 99_999)}/build")
    size = n("sizes of heaps", "", lambda r: f"\npeak memory {r.randint(90, 900)} MB")
    return (
        f"make: Entering directory '{sandbox}'\n"
        + "\n".join(n.shuffled("order of jobs", jobs))
        + f"\nreal {took}{size}\nexit code {f.decisive('exit code', '0')}"
    )


COMMANDS = {
    "": lambda f, n: f"Issue {f.task}: {f.choice('issue', MODULES)} is wrong.",
    "pytest -x": pytest, "git diff": diff, "pip install -e .": install, "coverage report": coverage, "make -j3": build,
}  # fmt: skip


def answer(action: str, f: Facts, n: Noise) -> str:
    body = COMMANDS[action](f, n) if action in COMMANDS else f"{action}: {f.number('lines', 2, 90)} lines"
    job = n("job numbers", "", lambda r: f"[{r.randint(1, 9)}] {r.randint(1_000, 99_999)}\n")
    deprecation = n.sometimes(
        "deprecation warnings", lambda r: f"\n/usr/lib/python3/site.py:{r.randint(10, 900)}: DeprecationWarning: imp is deprecated", 0.4
    )
    shell = n("container prompts", "", lambda r: f"\nroot@{hexadecimal(r, 12)}:/repo#", once=True)
    elapsed = n("elapsed tags", "", lambda r: f"<elapsed>{r.random() * 20:.1f}</elapsed>\n")
    body = n.changed("trailing spaces", body, lambda text, _: "\n".join(f"{line}  " for line in text.split("\n")))
    log = n.sometimes("log lines", lambda r: f"{clock(r)} [debug] worker {r.randint(1, 30)} idle\n", 0.5)
    return f"{job}{log}{elapsed}{body}{deprecation}{shell}"


TESTING = World(
    "testing",
    tuple(COMMANDS)[1:],
    answer,
    (
        Trap("line", lambda r: str(r.randint(20, 400)), lambda v: f"sed -n {v}p src", lambda v: int(v) % 2 == 0),
        Trap("failures", one_of("0", "1", "4"), lambda v: "git commit" if v == "0" else "pytest --lf", lambda v: v == "0"),
        Trap("version", one_of("3.8", "3.12"), lambda v: "pytest -x" if v == "3.12" else "pyenv install", lambda v: v == "3.12"),
        Trap("coverage", one_of("41", "62", "95"), lambda v: "git push" if v == "95" else "write more tests", lambda v: v == "95"),
        Trap("exit code", one_of("0", "2"), lambda v: "pytest -x" if v == "0" else "make clean", lambda v: v == "0"),
    ),
)
