"""A text game with weather and clocks. Held back: nobody looks at its misses while changing the rules."""

from benchmarks.noisy_worlds.world import Facts, Noise, Trap, World, hexadecimal, one_of

ROOMS = ("attic", "cellar", "chapel", "hall", "kitchen", "library", "stable", "tower")
THINGS = ("lamp", "rope", "coin", "book", "bell", "knife", "map", "cup")
WEATHERS = ("It is raining.", "The sun shines.", "Fog hangs over the hills.", "A cold wind blows.", "Snow is falling.")
SOUNDS = ("Somewhere a dog barks.", "An owl hoots.", "The floor creaks.", "You hear distant music.", "A clock ticks.")
FEELINGS = ("You feel rested", "You are a little hungry", "Your feet hurt", "You are in good spirits")


def room(f: Facts, n: Noise) -> str:
    name, things = f.choice("room", ROOMS), f.sample("things", THINGS, 3)
    opening = n("synonyms", "You are in the", lambda r: r.choice(["You are in the", "You find yourself in the", "You have entered the"]))
    listed = n.shuffled("order of things", things)
    light = n("lights", "", lambda r: f" The torch {r.choice(['flickers', 'glows', 'smokes'])}.")
    exits = ", ".join(n.shuffled("order of exits", f.sample("exits", ("north", "south", "east", "west"), 3)))
    return (
        f"{opening} {name}.{light}\n"
        f"You see a {listed[0]}, a {listed[1]}, and a {listed[2]}.\nExits: {exits}\nThe drawer {f.decisive('drawer', '1')} is ajar."
    )


def board(f: Facts, n: Noise) -> str:
    now = n("station clocks", "The clock shows 10:15.", lambda r: f"The clock shows {r.randint(0, 23)}:{r.randint(0, 59):02}.")
    delay = n("crowds", "", lambda r: f" {r.randint(3, 90)} people wait.")
    return (
        f"{now}{delay}\nThe train to {f.choice('city', ('Northham', 'Easton', 'Westby'))} "
        f"leaves at {f.decisive('departure', '18:40')} from platform {f.number('platform', 1, 9)}."
    )


def pockets(f: Facts, n: Noise) -> str:
    weight = n("weights", "3.0", lambda r: f"{r.randint(1, 9)}.{r.randint(0, 9)}")
    listed = ", ".join(n.shuffled("order of pockets", f.sample("pockets", THINGS, 3)))
    return (
        f"You carry {listed} ({weight} kg).\n"
        f"You have {f.decisive('coins', str(f.number('coins', 2, 50)))} coins and a {f.decisive('key', 'brass')} key."
    )


def guard(f: Facts, n: Noise) -> str:
    name = n(
        "names of guards",
        "Tom",
        lambda r: r.choice(["Tom", "Ada", "Finn", "Ole", "Mira", "Jon", "Eva", "Kai", "Lea", "Sam", "Ben", "Ida", "Uma"]),
    )
    roll = n("dice", "", lambda r: f" [rolled {r.randint(1, 20)}]")
    return (
        f"The guard {name} nods.{roll}\n"
        f'"The password has {f.number("letters", 3, 12)} letters," he says, "and your health is {f.decisive("health", "90")}%."'
    )


def sky(f: Facts, n: Noise) -> str:
    moon = n("phases of the moon", "", lambda r: f"The moon is {r.randint(1, 99)}% full.\n")
    birds = n("birds", "Birds fly by.", lambda r: f"{r.randint(2, 40)} {r.choice(['crows', 'geese', 'swifts'])} fly by.")
    return f"{moon}{birds} The tower has {f.number('windows', 3, 30)} windows and flies a {f.decisive('flag', 'green')} flag."


SCENES = {
    "": lambda f, n: f"Chapter {f.task}. The gate is open.",
    "go on": room, "read the board": board, "look into pockets": pockets, "talk to the guard": guard, "look up": sky,
}  # fmt: skip


def answer(action: str, f: Facts, n: Noise) -> str:
    body = SCENES[action](f, n) if action in SCENES else f"{action}: it works, {f.number('steps', 2, 90)} steps are left."
    weather = n("weather", "", lambda r: f"{r.choice(WEATHERS)}\n")
    sound = n.sometimes("sounds", lambda r: f" {r.choice(SOUNDS)}")
    feeling = n.sometimes("feelings", lambda r: f"\n{r.choice(FEELINGS)}.", 0.6)
    turn = n("turns", "", lambda r: f"[Turn {r.randint(1, 900)}] ")
    time = n("times of day", "", lambda r: f"Day {r.randint(1, 30)}, {r.randint(1, 12)}:{r.randint(0, 59):02} {r.choice(['am', 'pm'])}\n")
    hint = n.sometimes("hints", lambda r: f"\n(Hint: type {r.choice(['help', 'save', 'undo', 'verbose'])} at any time.)", 0.5)
    saved = n.sometimes("autosaves", lambda r: f"\n* Saved as slot-{hexadecimal(r, 6)} *", 0.5)
    prompt = n("prompt marks", "", lambda r: f"\n{r.choice(['>', '>>', '$', '#'])}", once=True)
    title = n("title lines", "", lambda r: f"CASTLE v1.{r.randint(0, 9)} ({r.randint(1, 99)} players online)\n")
    body = n.changed("capitals", body, lambda text, _: text.upper(), 0.4)
    body = n.changed("double spaces", body, lambda text, _: text.replace(". ", ".  ").replace(", ", ",  "))
    body = n.changed("other quotes", body, lambda text, _: text.replace('"', "\u201d").replace("The", "\u200bThe"), 0.5)
    return f"{title}{time}{turn}{weather}{body}{sound}{feeling}{hint}{saved}{prompt}"


GAME = World(
    "game",
    tuple(SCENES)[1:],
    answer,
    (
        Trap("drawer", one_of("1", "2", "3"), lambda v: f"open drawer {v}", lambda v: v == "2"),
        Trap("departure", one_of("18:40", "07:05"), lambda v: "wait" if v == "18:40" else "run", lambda v: v == "18:40"),
        Trap(
            "coins", lambda r: str(r.choice([1, 2, 3, 60, 70, 80])), lambda v: "buy ticket" if int(v) > 50 else "beg", lambda v: int(v) > 50
        ),
        Trap("key", one_of("brass", "iron"), lambda v: f"use {v} key", lambda v: v == "iron"),
        Trap("health", one_of("10", "50", "90"), lambda v: "fight" if v == "90" else "rest", lambda v: v == "90"),
        Trap("flag", one_of("green", "red"), lambda v: "enter" if v == "green" else "hide", lambda v: v == "green"),
    ),
)
