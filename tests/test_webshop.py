"""WebShop against its rules: pages, actions, search, goals, score and the two catalogues."""

import gzip
import json
import math
import random
import re
import subprocess
import sys
import threading
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.shared_data import SHARED, needs_shared
from hypothesis import given, settings
from hypothesis import strategies as st

from tratree_data.environments import make_environment
from tratree_data.environments.webshop import WebShop, load_shop
from tratree_data.environments.webshop.catalogue import file_contents
from tratree_data.environments.webshop.catalogue_data import BUNDLED, Product, read_catalogue
from tratree_data.environments.webshop.goals import PRICE_STEPS, Goal, goal_price, goals_of, split_of
from tratree_data.environments.webshop.nouns import nouns
from tratree_data.environments.webshop.ranking import K1, B, Index, stem, terms
from tratree_data.environments.webshop.score import alike, count_attributes, normalise_colour, score_purchase, title_score, type_factor
from tratree_data.errors import BadInputError, NotFoundError, TratreeError

STANDARD = SHARED / "webshop"


@pytest.fixture(autouse=True, scope="module")
def bundled_catalogue() -> Iterator[None]:
    """Whoever runs the tests may have the standard data configured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TRATREE_WEBSHOP_DATA", raising=False)
        yield


@pytest.fixture(scope="module")
def shop() -> WebShop:
    return WebShop()


def product(asin: str = "B000000001", title: str = "Steel Lamp", **facts: object) -> Product:
    return Product(
        **{
            "asin": asin,
            "title": title,
            "price": 20.0,
            "price_text": "$20.0",
            "query": "lamps",
            "category": "home",
            "category_path": "Home › Lamps",
            **facts,
        }  # type: ignore[arg-type]
    )


def goal(attributes: tuple[str, ...] = (), options: dict[str, str] | None = None, price_limit: float | None = 30.0) -> Goal:
    return Goal("B000000001-0", "B000000001", "Find me lamps", attributes, options or {}, price_limit)


# ------------------------------------------------------------------------------------------------ pages and actions


def play(shop: WebShop, task_id: str, actions: list[str], seed: int = 0) -> list[str]:
    return [shop.reset(task_id, seed).observation, *(shop.step(action).observation for action in actions)]


def find_task(shop: WebShop, options: int) -> str:
    return next(task for task in shop.tasks("train") if len(shop.goal(task).options) == options)


def test_pages_read_as_the_original_shows_them(shop: WebShop) -> None:
    task = find_task(shop, 2)
    wish, target = shop.goal(task), shop.shop.by_asin[shop.goal(task).asin]
    start = shop.reset(task)
    assert start.instruction == wish.instruction
    assert start.observation == f"WebShop [SEP] Instruction: [SEP] {wish.instruction} [SEP] Search"
    results = shop.step(f"search[{target.title}]").observation.split(" [SEP] ")
    assert results[:3] == ["Instruction:", wish.instruction, "Back to Search"]
    assert re.fullmatch(r"Page 1 \(Total results: [1-5]\d\)", results[3])
    assert results[4] == "Next >"
    assert results[5:8] == [target.asin, target.title, target.price_text]
    assert len(results) == 5 + 3 * 10
    item = shop.step(f"click[{target.asin}]").observation.split(" [SEP] ")
    choices = [part for name, values in target.options.items() for part in (name, *values)]
    assert item[2:] == [
        "Back to Search",
        "< Prev",
        *choices,
        target.title,
        f"Price: {target.price_text}",
        f"Rating: {target.rating}",
        "Description",
        "Features",
        "Reviews",
        "Buy Now",
    ]
    for name, texts in (("Description", (target.description,)), ("Features", target.bullets), ("Reviews", target.reviews)):
        page = shop.step(f"click[{name}]").observation.split(" [SEP] ")
        assert page == ["Instruction:", wish.instruction, "Back to Search", "< Prev", *texts]
        assert shop.step("click[< Prev]").observation.split(" [SEP] ") == item
    assert shop.score() == 0.0
    for value in wish.options.values():
        shop.step(f"click[{value}]")
    outcome = shop.step("click[Buy Now]")
    assert (outcome.done, outcome.reward, outcome.valid) == (True, 1.0, True)
    assert outcome.observation.startswith(f"Thank you for shopping with us! [SEP] Purchased [SEP] {target.asin} [SEP] ")
    assert shop.success()
    assert shop.score() == 1.0


def test_turning_pages_of_results(shop: WebShop) -> None:
    shop.reset(shop.tasks("train")[0])
    pages = [shop.step("search[machine washable]").observation]
    while "[SEP] Next > [SEP]" in pages[-1]:
        pages.append(shop.step("click[Next >]").observation)
    assert [f"Page {number} (Total results: " in page for number, page in enumerate(pages, 1)] == [True] * len(pages)
    assert 1 < len(pages) <= 5
    shown = [part for page in pages for part in page.split(" [SEP] ") if part in shop.shop.by_asin]
    total = int(pages[0].split("Total results: ")[1].split(")")[0])
    assert len(shown) == len(set(shown)) == total <= 50
    assert shop.step("click[Next >]").valid is False
    for page in reversed(pages[:-1]):
        assert shop.step("click[< Prev]").observation == page
    assert "[SEP] < Prev [SEP]" not in pages[0]
    assert shop.step("click[< Prev]").valid is False
    last_on_page = pages[0].split(" [SEP] ")[-3]
    shop.step(f"click[{last_on_page}]")
    assert shop.step("click[< Prev]").observation == pages[0], "an item leads back to the page of results that it was on"


def test_a_search_without_results_is_a_page(shop: WebShop) -> None:
    task = shop.tasks("train")[0]
    page = play(shop, task, ["search[zzzz qqqq]"])[-1]
    assert page.endswith("Back to Search [SEP] Page 1 (Total results: 0)")
    assert shop.step("click[Back to Search]").observation.endswith("[SEP] Search")


BAD_ACTIONS = [
    "",
    " ",
    "search[]",
    "search[  ]",
    "click[]",
    "click[Buy Now]",
    "click[B0NOTTHERE]",
    "think[hard]",
    "search lamp",
    "click[Search]",
]
BAD_ACTIONS += [
    "click[< Prev]",
    "click[Next >]",
    "click[Description]",
    "Buy Now",
    "click[search]",
    "[SEP]",
    "search[" * 5000,
    "click[\x00]",
]


@pytest.mark.parametrize("action", BAD_ACTIONS)
def test_an_invalid_action_changes_nothing(shop: WebShop, action: str) -> None:
    task = shop.tasks("train")[0]
    start = shop.reset(task)
    outcome = shop.step(action)
    assert outcome.valid is False
    assert (outcome.done, outcome.reward, outcome.observation) == (False, 0.0, start.observation)
    assert shop.score() == 0.0


def test_what_is_valid_depends_on_the_page(shop: WebShop) -> None:
    task = find_task(shop, 2)
    wish = shop.goal(task)
    asin, value = wish.asin, next(iter(wish.options.values()))
    title = shop.shop.by_asin[asin].title
    shop.reset(task)
    shop.step(f"search[{title}]")
    assert shop.step("search[lamp]").valid is False, "search is offered on the search page only"
    assert shop.step(f"click[{value}]").valid is False
    assert shop.step(f"CLICK[{asin.lower()}]").valid is True, "case does not matter"
    assert shop.step(f"click[{value.upper()}]").valid is True
    assert shop.step("click[Features]").valid is True
    assert shop.step("click[Buy Now]").valid is False
    assert shop.step("click[back to search]").valid is True
    assert shop.step(f"search[{title}]").valid is True


def test_options_last_for_a_look_at_the_features_but_not_for_leaving(shop: WebShop) -> None:
    task = find_task(shop, 2)
    wish = shop.goal(task)
    title = shop.shop.by_asin[wish.asin].title
    choose = [f"click[{value}]" for value in wish.options.values()]
    begin = [f"search[{title}]", f"click[{wish.asin}]"]
    play(shop, task, [*begin, *choose, "click[Features]", "click[< Prev]", "click[Buy Now]"])
    assert shop.score() == 1.0
    play(shop, task, [*begin, *choose, "click[< Prev]", f"click[{wish.asin}]", "click[Buy Now]"])
    parts = shop.explain_score()
    assert parts is not None
    assert parts.options == 0
    other = next(
        value for value in shop.shop.by_asin[wish.asin].options[next(iter(wish.options))] if value != next(iter(wish.options.values()))
    )
    play(shop, task, [*begin, *choose, f"click[{other}]", "click[Buy Now]"])
    parts = shop.explain_score()
    assert parts is not None
    assert parts.options == 1, "the last choice of an option counts"


def test_misuse_is_a_clear_error(shop: WebShop) -> None:
    fresh = WebShop()
    with pytest.raises(BadInputError, match="No episode has been started"):
        fresh.step("search[lamp]")
    for call in (fresh.score, fresh.success, fresh.admissible_actions):
        with pytest.raises(BadInputError, match="reset"):
            call()
    with pytest.raises(NotFoundError, match="no task 'B0NOTHING-1'"):
        fresh.reset("B0NOTHING-1")
    with pytest.raises(NotFoundError, match=r"no split 'trian'.*'train'"):
        fresh.tasks("trian")
    with pytest.raises(NotFoundError):
        fresh.expert_actions("B0NOTHING-1")
    task = fresh.tasks("train")[0]
    play(fresh, task, fresh.expert_actions(task) or [])
    with pytest.raises(BadInputError, match="The episode is over"):
        fresh.step("click[Back to Search]")
    assert fresh.admissible_actions() == []
    assert fresh.score() == 1.0
    fresh.reset(task)
    assert fresh.score() == 0.0
    fresh.close()
    with pytest.raises(TratreeError):
        fresh.score()


@pytest.mark.parametrize(
    "options", [{"goals_per_product": 0}, {"goals_per_product": True}, {"goals_per_product": "6"}, {"noise": "false"}, {"data": 7}]
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(BadInputError, match="must be"):
        WebShop(**options)  # type: ignore[arg-type]


def walk(shop: WebShop, task: str, seed: int, steps: int = 12) -> list[tuple[str, str, bool | None]]:
    draw = random.Random(seed)
    seen = [("", shop.reset(task, seed).observation, True)]
    for _ in range(steps):
        actions = shop.admissible_actions() or []
        action = draw.choice([*actions, "click[nothing]"])
        outcome = shop.step(action)
        assert outcome.valid is (action != "click[nothing]"), f"{action} on {seen[-1][1]}"
        seen.append((action, outcome.observation, outcome.valid))
        if outcome.done:
            break
    return seen


@pytest.mark.parametrize("noise", [False, True])
def test_the_same_actions_give_the_same_observations(noise: bool) -> None:
    first, second = WebShop(noise=noise), WebShop(noise=noise)
    for seed in range(40):
        task = first.tasks("train")[seed]
        assert walk(first, task, seed) == walk(second, task, seed), f"seed {seed}"


def test_noise_is_a_banner_that_tells_nothing() -> None:
    quiet, noisy = WebShop(), WebShop(noise=True)
    task = quiet.tasks("train")[0]
    actions = quiet.expert_actions(task) or []
    plain = play(quiet, task, actions)
    banners = []
    for seed in range(5):
        pages = play(noisy, task, actions, seed)
        assert [page.split(" [SEP] ", 1)[1] for page in pages] == plain
        banners.append([page.split(" [SEP] ", 1)[0] for page in pages])
    assert all(banner.startswith("Deal ends in ") for row in banners for banner in row)
    assert len({row[0] for row in banners}) == 5
    assert "banner" in noisy.version
    assert "banner" not in quiet.version


def test_many_episodes_at_once(shop: WebShop) -> None:
    """Instances in threads share the index; each thread must see what it would see alone."""
    tasks = shop.tasks("dev")[:8]
    alone = [walk(WebShop(), task, number, 20) for number, task in enumerate(tasks)]
    together: list[object] = [None] * len(tasks)

    def run(number: int) -> None:
        together[number] = walk(WebShop(), tasks[number], number, 20)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_the_registry_finds_it() -> None:
    assert make_environment("webshop").name == "webshop"


def test_the_prompt_is_the_papers() -> None:
    paper = Path(__file__).parents[1] / "../shared/paper/paper.txt"
    if not paper.is_file():
        pytest.skip("the paper is not there")
    text = paper.read_text(encoding="utf-8")
    start = text.index("You are web shopping.")
    end = text.index("Action: click[something]", start) + len("Action: click[something]")
    assert WebShop.prompt == text[start:end]


# ------------------------------------------------------------------------------------------------ search


def test_terms_are_lower_case_stems_without_stop_words() -> None:
    assert terms("The Runner's running SHOES, for women’s feet (2-pack)!") == ["runner", "run", "shoe", "women", "feet", "2", "pack"]
    assert terms("") == terms("the of and ...") == []
    assert stem("batteries") == "batteri"


def test_bm25_by_hand() -> None:
    index = Index(["red lamp", "red red shoe sole", "blue lamp"])
    mean = (2 + 4 + 2) / 3

    def weight(tf: int, length: int, holders: int) -> float:
        return math.log(1 + (3 - holders + 0.5) / (holders + 0.5)) * tf / (tf + K1 * (1 - B + B * length / mean))

    lamp, red = weight(1, 2, 2), weight(2, 4, 2)
    assert index.search("red", 50) == (1, 0)
    assert red > weight(1, 2, 2)
    assert index.search("red lamp", 50) == (0, 1, 2), f"{lamp + lamp} > {red} > {lamp}"
    assert index.search("lamp", 50) == (0, 2), "the earlier document wins a tie"
    assert index.search("lamp", 1) == (0,)
    assert index.search("green", 50) == index.search("", 50) == ()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("abc ", max_size=12), max_size=8), st.text("abc ", max_size=10))
def test_search_ranks_like_the_formula(texts: list[str], query: str) -> None:
    """Against BM25 written out plainly."""
    counts = [Counter(terms(text)) for text in texts]
    mean = sum(sum(count.values()) for count in counts) / max(1, len(counts)) or 1.0
    scores = []
    for number, count in enumerate(counts):
        score = 0.0
        for term in terms(query):
            holders = sum(term in other for other in counts)
            rarity = math.log(1 + (len(counts) - holders + 0.5) / (holders + 0.5))
            score += rarity * count[term] / (count[term] + K1 * (1 - B + B * sum(count.values()) / mean)) if count[term] else 0.0
        scores.append((-score, number))
    expected = [number for score, number in sorted(scores) if score < 0]
    found = Index(texts).search(query, 50)
    assert sorted(found) == sorted(expected)
    assert [scores[number][0] for number in found] == pytest.approx([scores[number][0] for number in expected])


# ------------------------------------------------------------------------------------------------ score, term by term

TARGET = product(
    attributes=("dimmable", "usb port"),
    bullets=("Rests on a wooden base.",),
    description="Made for the living room.",
    options={"color": ("matte black", "white"), "size": ("short", "tall")},
)


@pytest.mark.parametrize(
    ("bought", "chosen", "wish", "expected"),
    [
        # (attributes + options + price) / (goal attributes + goal options + 1)
        pytest.param(
            TARGET, ["matte black", "tall"], goal(("dimmable", "usb port"), {"color": "matte black", "size": "tall"}), 5 / 5, id="all"
        ),
        pytest.param(
            TARGET, ["matte black"], goal(("dimmable", "usb port"), {"color": "matte black", "size": "tall"}), 4 / 5, id="option missing"
        ),
        pytest.param(
            TARGET, ["white", "tall"], goal(("dimmable", "usb port"), {"color": "matte black", "size": "tall"}), 4 / 5, id="option wrong"
        ),
        pytest.param(TARGET, [], goal(("dimmable", "usb port"), {"color": "matte black", "size": "tall"}), 3 / 5, id="no option"),
        pytest.param(TARGET, ["deep black"], goal((), {"color": "matte black"}), 2 / 2, id="both are black"),
        pytest.param(TARGET, ["tall"], goal((), {"color": "matte black"}), 1 / 2, id="value of another option"),
        pytest.param(TARGET, [], goal(("dimmable", "leak proof")), 2 / 3, id="attribute missing"),
        pytest.param(TARGET, [], goal(("wooden base",)), 2 / 2, id="attribute in a bullet point"),
        pytest.param(TARGET, [], goal(("living room",)), 2 / 2, id="attribute in the description"),
        pytest.param(TARGET, [], goal(("steel lamp",)), 2 / 2, id="attribute in the title"),
        pytest.param(TARGET, [], goal(("port usb",)), 2 / 2, id="attribute in another word order"),
        pytest.param(TARGET, [], goal(("dimmable",), price_limit=20.0), 2 / 2, id="price at the limit"),
        pytest.param(TARGET, [], goal(("dimmable",), price_limit=19.99), 1 / 2, id="too dear"),
        pytest.param(TARGET, [], goal(("dimmable",), price_limit=None), 2 / 2, id="no limit"),
        pytest.param(TARGET, [], goal(), 1 / 1, id="nothing but the price"),
    ],
)
def test_score_by_hand(bought: Product, chosen: list[str], wish: Goal, expected: float) -> None:
    assert score_purchase(bought, chosen, wish, TARGET).total == expected


@pytest.mark.parametrize(
    ("title", "query", "path", "expected"),
    [
        # The goal's nouns are 'steel' and 'lamp'.
        pytest.param("Brass Lamp", "lamps", "Home › Lamps", 1.0, id="same query"),
        pytest.param("Brass Lamp", "torches", "Home › Lamps", 1.0, id="same path"),
        pytest.param("Brass Lamp", "torches", "Garden › Lamps", 1.0, id="title score 0.5 > 0.2"),
        pytest.param("Brass Torch", "lamps", "Home › Lamps", 0.0, id="no shared noun, whatever else is the same"),
        pytest.param("", "lamps", "Home › Lamps", 0.0, id="no nouns bought"),
    ],
)
def test_type_factor_by_hand(title: str, query: str, path: str, expected: float) -> None:
    bought = product("B000000002", title, query=query, category_path=path)
    assert type_factor(bought, TARGET) == expected
    assert score_purchase(bought, [], goal(), TARGET).total == expected


def test_type_factor_of_long_names() -> None:
    eleven = "arch bolt cork drum edge fork gate hook iron jar lamp"
    target = product(title=eleven, query="lamps", category_path="Home › Lamps")
    elsewhere = {"query": "torches", "category_path": "Garden › Torches"}
    assert title_score(product(title="lamp", **elsewhere), target) == 1 / 11
    assert type_factor(product(title="lamp", **elsewhere), target) == 0.1, "1/11 < 0.1"
    assert type_factor(product(title="lamp", query="lamps"), target) == 0.1, "even where the query is the same"
    assert type_factor(product(title="lamp jar", **elsewhere), target) == 0.5, "2/11 is between 0.1 and 0.2"
    assert type_factor(product(title="lamp jar iron", **elsewhere), target) == 1.0, "3/11 > 0.2"
    one_part = product(title="lamp jar", query="torches", category_path="Home › Torches")
    assert type_factor(one_part, target) == 0.5, "one shared part of the path is not enough"


def test_type_factor_of_a_goal_without_nouns() -> None:
    """The title score is 0.2 then: enough not to be punished further, not enough to count as a match."""
    target = product(title="12 x 34", query="lamps")
    assert title_score(TARGET, target) == 0.2
    assert type_factor(product(query="torches", category_path="Garden"), target) == 0.5
    assert type_factor(product(query="lamps"), target) == 1.0


def test_factor_times_sum() -> None:
    eleven = product(title="arch bolt cork drum edge fork gate hook iron jar lamp")
    bought = product("B000000002", "lamp jar", query="torches", category_path="Garden › Torches", attributes=("dimmable",), price=40.0)
    score = score_purchase(bought, ["white"], goal(("dimmable", "usb port"), {"color": "white"}, 30.0), eleven)
    assert (score.type, score.attributes, score.options, score.price) == (0.5, 1, 1, 0)
    assert score.total == 0.5 * (1 + 1 + 0) / (2 + 1 + 1)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("Long-Lasting!", "long lasting", True),  # case and punctuation do not count
        ("memory foam", "memory foam mattress", True),  # all words of one are in the other
        ("x-large", "large", True),  # a weakness of the rule, kept
        ("short", "tall", False),
        ("12 bars", "24 bars", True),  # 2 * 6 / 14 = 85.7, which rounds to 86
        ("abcdefghijklmnopqrst", "abcdefghijklmnopqxyz", False),  # 2 * 17 / 40 = 85
        ("café", "caf", True),  # letters beyond ASCII do not count
        ("中文", "中文", True),  # the original finds nothing to compare here
        ("中文", "日本", False),
        ("", "white", False),
    ],
)
def test_alike(left: str, right: str, expected: bool) -> None:
    assert alike(left, right) is alike(right, left) is expected


def test_colours_stand_for_values() -> None:
    assert normalise_colour("Navy Blue") == normalise_colour("electroplate dark blue-11") == "blue"
    assert normalise_colour("two drawers") == "two drawers"


def test_the_option_fault_of_the_original_is_fixed() -> None:
    """Compared as the text of a tuple, ('size', '2') and ('size', '2') lose to the colours and names in them; values do not."""
    target = product(options={"color": ("a-blue", "b-red")})
    for value in target.options["color"]:
        assert score_purchase(target, [value], goal((), {"color": value}), target).total == 1.0


def test_nouns() -> None:
    assert nouns("Nordvik Dimmable Floor Lamp, with USB port (2 pcs)") == ("nordvik", "floor", "lamp", "usb", "port")
    assert nouns("Men's waterproof hiking boots for the winter") == ("men's", "hiking", "boots", "winter")
    assert nouns("12 x 34 --") == nouns("") == ()
    assert nouns("HDMI cable cable") == ("hdmi", "cable", "cable"), "endings alone do not make an adjective"


# ------------------------------------------------------------------------------------------------ goals


def test_goals_are_all_combinations() -> None:
    facts = {"instruction": "Find me lamps", "instruction_attributes": ("dimmable",)}
    lamp = product(options={"size": ("s", "m"), "color": ("red", "blue", "tan")}, **facts)
    goals = goals_of(lamp, 100)
    assert [wish.task_id for wish in goals] == [f"B000000001-{number}" for number in range(6)]
    assert [tuple(wish.options.items()) for wish in goals][:3] == [
        (("color", color), ("size", size)) for color, size in (("red", "s"), ("red", "m"), ("blue", "s"))
    ]
    limit = goal_price(lamp)
    assert limit in (40.0, 50.0, 60.0), "the larger of two of 30, 40, 50, 60"
    assert goals[0].instruction == f"Find me lamps with color: red, and size: s, and price lower than {limit:.2f} dollars"
    capped = goals_of(lamp, 4)
    assert len(capped) == 4
    assert all(wish in goals for wish in capped), "a goal keeps its number, whatever the cap is"
    assert goals_of(product(options={}, **facts), 6)[0].instruction == f"Find me lamps, and price lower than {limit:.2f} dollars"
    assert goals_of(product(), 6) == [], "no instruction, no goal"
    dear = product(price=985.0, **facts)
    assert goal_price(dear) is None
    assert goals_of(dear, 6)[0].instruction == "Find me lamps"


def test_goal_prices_are_drawn_from_the_next_four_steps() -> None:
    seen = set()
    for number in range(200):
        lamp = product(f"B{number:09}", price=47.5)
        limit = goal_price(lamp)
        assert limit == goal_price(lamp)
        seen.add(limit)
    assert seen == {60.0, 70.0, 80.0}
    assert goal_price(product(price=50.0)) in (70.0, 80.0, 90.0), "a step above the price, not at it"
    assert PRICE_STEPS[-1] == 990.0


def test_splits_are_by_product(shop: WebShop) -> None:
    sizes = shop.splits()
    assert list(sizes) == ["train", "dev", "test"]
    asins = {split: {task.split("-")[0] for task in shop.tasks(split)} for split in sizes}
    assert not asins["train"] & asins["dev"]
    assert not asins["train"] & asins["test"]
    assert not asins["dev"] & asins["test"]
    assert {split: len(shop.tasks(split)) for split in sizes} == sizes
    assert 0.7 < len(asins["train"]) / sum(map(len, asins.values())) < 0.9
    assert all(split_of(asin) == split for split, members in asins.items() for asin in members)
    tasks = shop.tasks("train")
    assert len(set(tasks)) == len(tasks)
    first = [task.split("-")[0] for task in tasks[: len(asins["train"])]]
    assert len(set(first)) == len(first), "the first tasks are of different products"
    fewer = WebShop(goals_per_product=2)
    assert set(fewer.tasks("train")) <= set(WebShop(goals_per_product=1000).tasks("train"))
    assert max(Counter(task.split("-")[0] for task in fewer.tasks("train")).values()) == 2


# ------------------------------------------------------------------------------------------------ the bundled catalogue


def test_the_bundled_catalogue_is_what_its_script_makes() -> None:
    for name, data in file_contents().items():
        stored = (BUNDLED / name).read_bytes()
        assert (gzip.decompress(stored) if name.endswith(".gz") else stored) == data, (
            f"run python -m tratree_data.environments.webshop.catalogue ({name})"
        )
    assert (BUNDLED / "products.jsonl.gz").read_bytes()[4:8] == b"\0\0\0\0", "no time stamp"


def test_the_bundled_catalogue_is_a_fair_shop(shop: WebShop) -> None:
    products = shop.shop.products
    assert len(products) == 300
    assert 8 <= len({item.category for item in products}) <= 10
    assert shop.dropped == ()
    for item in products:
        assert item.options
        for values in item.options.values():
            pairs = [(left, right) for place, left in enumerate(values) for right in values[:place]]
            assert not any(alike(normalise_colour(left), normalise_colour(right)) for left, right in pairs), f"{item.asin} {values}"


def test_texts_promise_what_the_product_has_and_nothing_else(shop: WebShop) -> None:
    """No sentence about one attribute speaks of another: what a shopper reads is what the score counts."""
    words = tomllib.loads((BUNDLED.parent / "catalogue.toml").read_text(encoding="utf-8"))
    kinds = {kind["name"]: kind["attributes"] for kind in words["types"]}
    for item in shop.shop.products:
        counted = {attribute for attribute in kinds[item.query] if count_attributes(item, goal((attribute,)))}
        assert counted == set(item.attributes), item.asin
        text = " ".join((item.description, *item.bullets)).lower()
        assert all(attribute in text for attribute in item.attributes), f"{item.asin}: reading tells everything"


def test_every_bundled_goal_can_be_reached_and_few_products_do(shop: WebShop) -> None:
    """Choosing matters: of ten products of the kind that is asked for, one to four are right."""
    winners, hidden = [], 0
    for task in [task for split in shop.splits() for task in shop.tasks(split)][::13]:
        wish = shop.goal(task)
        target = shop.shop.by_asin[wish.asin]
        best = [
            score_purchase(item, set(wish.options.values()) & {v for vs in item.options.values() for v in vs}, wish, target)
            for item in shop.shop.products
        ]
        winners.append(sum(score.total == 1 for score in best))
        hidden += any(attribute not in target.title.lower() for attribute in wish.attributes)
        assert score_purchase(target, wish.options.values(), wish, target).total == 1
        assert sum(score.total == 0 for score in best) > 200, "other kinds of products are worth nothing or little"
    assert min(winners) >= 1
    assert sum(winners) / len(winners) < 2.5, Counter(winners)
    assert hidden / len(winners) > 0.9, "titles alone do not tell"


def test_the_expert_wins_every_bundled_goal(shop: WebShop) -> None:
    for split in shop.splits():
        for task in shop.tasks(split):
            actions = shop.expert_actions(task)
            assert actions is not None, task
            assert len(actions) <= shop.max_steps
            shop.reset(task)
            outcomes = [shop.step(action) for action in actions]
            assert all(outcome.valid for outcome in outcomes)
            assert shop.score() == 1.0


def test_task_ids_and_version_are_stable(shop: WebShop) -> None:
    """A change here changes what logs mean: raise RULES with it."""
    assert shop.version == "text shop 1; data bundled (300 products) bcf63b5627f6; 6 goals a product"
    assert shop.tasks("train")[:3] == ["B0L1W87TK3-2", "B05Q2XB4KJ-8", "B04XPF4Z6S-1"]


# ------------------------------------------------------------------------------------------------ data from anywhere


def write_catalogue(folder: Path, rows: list[object], instructions: object = None) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    (folder / "products.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines)))
    (folder / "instructions.json").write_text(json.dumps({} if instructions is None else instructions))
    return folder


def row(asin: str = "B000000001", **facts: object) -> dict[str, object]:
    return {"id": asin, "contents": "a lamp", "product": {"asin": asin, "name": "Lamp", "pricing": [10.0], "query": "lamps", **facts}}


WISH = {"instruction": "Find me lamps", "instruction_attributes": ["dimmable"], "attributes": ["dimmable"]}


def test_missing_and_broken_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError, match=r"has no products\.jsonl\.gz(.|\n)*Next: "):
        WebShop(tmp_path / "nowhere")
    monkeypatch.setenv("TRATREE_WEBSHOP_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(NotFoundError, match="elsewhere"):
        WebShop()
    monkeypatch.delenv("TRATREE_WEBSHOP_DATA")
    folder = write_catalogue(tmp_path / "broken", [row()])
    (folder / "products.jsonl.gz").write_bytes(gzip.compress(b"{}" * 5000)[:40])
    with pytest.raises(BadInputError, match="cannot be read"):
        WebShop(folder)
    (folder / "products.jsonl.gz").write_bytes(b"plain text")
    with pytest.raises(BadInputError, match="cannot be read"):
        WebShop(folder)
    write_catalogue(folder, [b"nonsense", {"product": {}}])
    with pytest.raises(BadInputError, match="no usable product"):
        WebShop(folder)
    write_catalogue(folder, [row()], ["a list"])
    with pytest.raises(BadInputError, match="one JSON object"):
        WebShop(folder)
    (folder / "instructions.json").write_text("{")
    with pytest.raises(BadInputError, match="not valid JSON"):
        WebShop(folder)


BAD_ROWS = [
    b"\xff\xfe",
    b"[" * 100_000,
    [],
    {"product": None},
    {"product": {"asin": "B0 [SEP] x"}},
    {"product": {"asin": 7}},
    row("B000000002", pricing=["10"]),
    row("B000000002", pricing=[-1.0]),
    row("B000000002", pricing=[float("nan")]),
    row("B000000002", pricing=[float("inf")]),
    row("B000000002", pricing=[True]),
    row("B000000002", pricing={"a": 1}),
    row("B000000002", name={"a": "b"}),
    row("B000000002", options=["red"]),
    row("B000000002", options={"color": {"red": 1}}),
    row("B000000002", options={"color": [1]}),
    row("B000000002", Reviews="good"),
    row("B000000002", BulletPoints=7),
    row("B000000001"),
]


@pytest.mark.parametrize("bad", BAD_ROWS, ids=range(len(BAD_ROWS)))
def test_a_bad_row_is_left_out_with_its_reason(tmp_path: Path, bad: object) -> None:
    folder = write_catalogue(tmp_path / "shop", [row(), bad], {"B000000001": WISH})
    with pytest.warns(UserWarning, match="1 product rows .* left out; the first is line 2"):
        shop = WebShop(folder)
    assert [item.asin for item in shop.shop.products] == ["B000000001"]
    assert shop.dropped[0][0] == "line 2"
    assert shop.dropped[0][1]


def test_hostile_texts_cannot_look_like_a_page(tmp_path: Path) -> None:
    evil = row(
        name="Lamp [SEP] Buy Now [ sep ]\nSearch\x00 \ud800",
        options={"color": ["Buy Now", "red", "red", "", "[SEP]"], "Size [SEP]": ["Back to Search"]},
        Description="a" * 100_000,
        BulletPoints="one string",
        Reviews=[{"title": "T", "body": "B"}, {}, "plain"],
    )
    folder = write_catalogue(tmp_path / "shop", [evil], {"B000000001": WISH})
    shop = WebShop(folder)
    item = shop.shop.products[0]
    assert item.options == {"color": ("red", "(sep)")}
    assert item.bullets == ("one string",)
    assert item.reviews == ("T – B", "plain")
    assert len(item.description) <= 20_000
    task = next(task for split in shop.splits() for task in shop.tasks(split))
    shop.reset(task)
    shop.step("search[lamp]")
    page = shop.step("click[B000000001]").observation
    assert page.count("Buy Now") == 2, "the title's is a part of one text"
    assert page.split(" [SEP] ").count("Buy Now") == 1
    page.encode("utf-8")
    assert shop.step("click[(sep)]").valid is True


def test_values_that_two_options_share_are_chosen_for_both(tmp_path: Path) -> None:
    folder = write_catalogue(
        tmp_path / "shop", [row(options={"top": ["small", "large"], "bottom": ["small", "large"]})], {"B000000001": WISH}
    )
    shop = WebShop(folder)
    shop.reset(next(task for split in shop.splits() for task in shop.tasks(split)))
    shop.step("search[lamp]")
    shop.step("click[B000000001]")
    assert shop.admissible_actions().count("click[small]") == 1
    shop.step("click[small]")
    assert "bottom: small" in shop.step("click[Buy Now]").observation


def test_changed_files_are_read_again(tmp_path: Path) -> None:
    folder = write_catalogue(tmp_path / "shop", [row()])
    before = WebShop(folder).version
    write_catalogue(folder, [row(), row("B000000002")])
    after = WebShop(folder).version
    assert "(1 products)" in before
    assert "(2 products)" in after


# ------------------------------------------------------------------------------------------------ the standard products


@needs_shared
def test_the_standard_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRATREE_WEBSHOP_DATA", str(STANDARD))
    shop = WebShop()
    assert len(shop.shop.products) == 1000
    assert shop.dropped == ()
    wished = [item for item in shop.shop.products if item.instruction]
    assert len(wished) == 415
    assert sum(len(goals_of(item, 10_000)) for item in wished) == 6901, "6,910 less nine that name the same option value twice"
    for split in shop.splits():
        for task in shop.tasks(split):
            actions = shop.expert_actions(task)
            assert actions is not None, task
            play(shop, task, actions)
            assert shop.success()
    assert "data webshop (1000 products)" in shop.version
    assert load_shop(STANDARD)[0] is load_shop(STANDARD)[0], "read once a process"
    assert read_catalogue(STANDARD).content_hash in shop.version


@pytest.mark.slow
@pytest.mark.parametrize("package", ["rapidfuzz", "snowballstemmer"])
def test_without_its_packages_only_the_shop_is_missing(package: str, tmp_path: Path) -> None:
    """Both are in the extra `webshop`: importing, building and searching must work without them."""
    program = f"""
import sys
sys.modules[{package!r}] = None
from tratree_data import build, explore, import_log, search
from tratree_data.environments import list_environments
from tratree_data.errors import MissingPackageError

import_log("{tmp_path}/data", "{tmp_path}/log.jsonl")
assert build("{tmp_path}/data", embedder="lexical").changed and search("{tmp_path}/data").changed
try:
    explore("{tmp_path}/shop", "webshop", attempts=1, tasks=1)
except MissingPackageError as error:
    print(error)
print(next(status.missing for status in list_environments() if status.name == "webshop"))
"""
    step = {"observation": "here", "thought": "", "action": "go"}
    rows = [{"task_id": "t", "env": "mine", "instruction": "", "reward": float(i), "steps": [step, step]} for i in (0, 1)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    problem, command, listed = done.stdout.splitlines()
    assert problem == f"{package} is needed here, but not installed."
    assert command == "Next: pip install 'tratree-data[webshop]'"
    assert "pip install 'tratree-data[webshop]'" in listed
