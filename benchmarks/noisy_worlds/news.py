"""A news site with a shop: advertisements, recommendations, banners, and prices and delivery days that decide."""

import random

from benchmarks.noisy_worlds.world import Facts, Noise, Trap, World, hexadecimal, one_of

TITLES = (
    "River walks in the north", "A bridge for the old port", "How bees find home", "The last typewriter shop", "Bread in a cold oven",
    "Night trains return", "A library on wheels", "Snow in the desert", "The map that lied", "Rain barrels for cities", "Lamps of paper",
    "The orchard next door", "Small boats, long ways", "A violin of carbon",
)  # fmt: skip
GOODS = ("Steel lamp", "Oak stool", "Wool blanket", "Clay pot", "Desk clock", "Canvas bag", "Paper kite", "Copper pan")
SHOPS = ("Modeo", "Lumina", "Kornhaus", "Velora", "Fjordline", "Casa Uno")
SLOGANS = ("Summer sale now on", "Free returns for 30 days", "New arrivals every day", "Up to half price", "Your home, your way")
FILTERS = ("Brand", "Colour", "Material", "Price", "Size")


def advertisement(rng: random.Random) -> str:
    return f"{rng.choice(SLOGANS)} at {rng.choice(SHOPS)}"


def article(f: Facts, n: Noise) -> str:
    title = f.choice("title", TITLES)
    words = f'"It\'s a long way home - and back," says witness {f.number("witness", 1, 40)}.'
    words = n.changed(
        "curly quotes", words, lambda text, _: text.replace('"It', "\u201cIt").replace(',"', ",\u201d").replace("'", "\u2019")
    )
    words = n.changed("long dashes", words, lambda text, _: text.replace(" - ", " \u2013 "))
    words = n.changed("non-breaking spaces", words, lambda text, _: text.replace(" way", "\u00a0way").replace(" home", "\u00a0home"))
    updated = n(
        "times of updates",
        "Updated 2 hours ago",
        lambda r: r.choice(["Updated just now", f"Updated {r.randint(2, 59)} minutes ago", "Updated yesterday"]),
    )
    comments = n("counts of comments", "12 comments", lambda r: f"{r.randint(0, 900)} comments")
    views = n(
        "counts of views", "1.2k views", lambda r: r.choice([f"{r.randint(1, 999)} views", f"{r.randint(1, 99)}.{r.randint(0, 9)}k views"])
    )
    inside = n.sometimes("advertisements between paragraphs", lambda r: f"\n[Advertisement] {advertisement(r)}")
    return f"{title}\n{updated} | {comments} | {views}\n{words}{inside}\nPage {f.number('page', 1, 9)} of this story."


def results(f: Facts, n: Noise) -> str:
    found = f.sample("goods", GOODS, 3)
    first = f.decisive("ranking", found[0])
    found = [first, *(item for item in found if item != first)]
    rows = [f"{rank}. {name} - ${f.number(name, 5, 90)}.{f.number(name + '.', 10, 99)}" for rank, name in enumerate(found, 1)]
    promoted = n.sometimes("promoted results", lambda r: f"Promoted: {r.choice(SHOPS)} gift card\n")
    count = n("times of searches", "0.21 seconds", lambda r: f"0.{r.randint(10, 99)} seconds")
    filters = ", ".join(n.shuffled("order of filters", FILTERS))
    return f"{f.number('found', 3, 90)} results in {count}\nFilter by: {filters}\n{promoted}" + "\n".join(rows)


def product(f: Facts, n: Noise) -> str:
    name = f.choice("product", GOODS)
    price = f.decisive("price", f"{f.number('price', 5, 90)}.50")
    shown = n.changed("formats of prices", f"${price}", lambda text, _: f"{text[1:].replace('.', ',')} $")
    looking = n.sometimes("people looking", lambda r: f"{r.randint(2, 90)} people are looking at this right now\n")
    stock = f.decisive("stock", f"{f.number('stock', 2, 40)}")
    delivery = f.decisive("delivery day", "Friday, 4 December")
    button = n("labels of buttons", "Add to cart", lambda r: r.choice(["Add to cart", "Add to basket", "Buy now"]), once=True)
    image = n("names of images", "img/1.jpg", lambda r: f"cdn/{hexadecimal(r, 10)}.jpg")
    also = n.sometimes("customers also bought", lambda r: f"\nCustomers also bought: {' | '.join(r.sample(GOODS, 3))}", 0.7)
    return f"{name} ({image})\n{looking}{shown} each, {stock} in stock\nDelivery by {delivery}\n[{button}] [Details]{also}"


def cart(f: Facts, n: Noise) -> str:
    code = n("voucher codes", "SAVE", lambda r: "".join(r.choices("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=7)))
    token = n("form tokens", "", lambda r: f"\n<input name=csrf value={hexadecimal(r, 24)}>")
    until = n("reserved until", "10:00", lambda r: f"{r.randint(0, 14)}:{r.randint(0, 59):02}")
    return (
        f"Your cart: {f.decisive('quantity', '1')} x {f.choice('item', GOODS)}\nDiscount: {f.decisive('discount', '10%')}\n"
        f"Reserved for {until} minutes. Use code {code} on your next order.\nSigned in as {f.decisive('account', 'guest')}{token}"
    )


PAGES = {
    "": lambda f, n: f"Front page {f.task}: {f.choice('front', TITLES)}",
    "open[article]": article, "open[next story]": article, "search[lamp]": results, "open[product]": product, "open[cart]": cart,
}  # fmt: skip


def answer(action: str, f: Facts, n: Noise) -> str:
    body = PAGES[action](f, n) if action in PAGES else f"{action}: confirmed, reference {f.number('reference', 100, 999)}"
    banner = n.sometimes("banners", lambda r: f"Advertisement\n{advertisement(r)}\n\n")
    date = n(
        "dates in headers",
        "",
        lambda r: (
            f"DAILY HERALD | {r.randint(1, 28)} {r.choice(['March', 'April', 'May'])} 2026 | "
            f"{r.randint(-5, 30)} °C {r.choice(['sunny', 'cloudy', 'rain'])}\n"
        ),
    )
    greeting = n.sometimes("greetings", lambda r: f"Good {r.choice(['morning', 'afternoon', 'evening'])}!\n", 0.8)
    cookies = n.sometimes("cookie notices", lambda _: "We value your privacy. [Accept all] [Settings]\n", 0.4)
    newsletter = n.sometimes("newsletters", lambda r: f"\nJoin {r.randint(10, 99)},{r.randint(100, 999)} readers of our newsletter.", 0.5)
    related = n.sometimes(
        "recommendations", lambda r: "\nYou may also like:\n" + "\n".join(f"- {title}" for title in r.sample(TITLES, 3)), 0.7
    )
    most = n(
        "most read lists",
        "",
        lambda r: "\nMost read\n" + "\n".join(f"{rank}. {title}" for rank, title in enumerate(r.sample(TITLES, 3), 1)),
    )
    session = n("session ids in links", "", lambda r: f"\n[Home](/?sid={hexadecimal(r, 12)})")
    footer = n("rendering times", "", lambda r: f"\nRendered in {r.random():.3f} s by web-{r.randint(1, 40)}")
    sponsor = n.sometimes("sponsors in a line", lambda r: f" (Sponsored: {r.choice(SHOPS)})", 0.5)
    first, line, rest = body.partition("\n")
    body = n.changed("capital titles", first, lambda text, _: text.upper()) + sponsor + line + rest
    return f"{banner}{cookies}{date}{greeting}{body}{related}{most}{newsletter}{session}{footer}"


NEWS = World(
    "news",
    tuple(PAGES)[1:],
    answer,
    (
        Trap(
            "price",
            lambda r: f"{r.choice([12, 19, 24, 61, 78, 95])}.50",
            lambda v: "click[buy]" if float(v) < 50 else "open[next story]",
            lambda v: float(v) < 50,
        ),
        Trap("ranking", one_of("Steel lamp", "Desk clock", "Clay pot"), lambda v: f"click[{v}]", lambda v: v == "Steel lamp"),
        Trap(
            "delivery day",
            one_of("Friday, 4 December", "Monday, 21 December"),
            lambda v: "click[order]" if "4 " in v else "click[express]",
            lambda v: "4 " in v,
        ),
        Trap("discount", one_of("10%", "25%", "40%"), lambda v: "click[pay]" if v != "10%" else "open[product]", lambda v: v != "10%"),
        Trap("quantity", one_of("1", "2", "12"), lambda v: "click[pay]" if v == "1" else f"remove[{int(v) - 1}]", lambda v: v == "1"),
        Trap(
            "account",
            lambda r: f"{r.choice(['mia', 'omar', 'yara'])}_{r.randint(100, 999)}",
            lambda v: f"open[orders of {v}]",
            lambda v: v < "n",
        ),
        Trap("stock", one_of("1", "7", "30"), lambda v: "click[notify me]" if v == "1" else "click[order]", lambda v: v != "1"),
    ),
)
