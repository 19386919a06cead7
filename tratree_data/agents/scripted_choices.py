"""What a scripted agent may do next, and how it words its thoughts."""

import random
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Choice:
    action: str
    kind: str
    """The purpose of the action, which decides how the thought is worded."""
    quality: float
    """How sensible it is: about 1 for the best action, 0 or less for blunders."""
    facts: dict[str, str] = field(default_factory=dict)


PHRASES = {
    "search_well": (
        "I think I should search for everything that matters: {query}.",
        "The keywords should name the {thing} and what it must have, so I search for {query}.",
        "I will put the product and its requirements into the search: {query}.",
    ),
    "search_narrow": (
        "I think {query} is a good start; the details I can check later.",
        "I will search for {query} and look at the details on the pages.",
    ),
    "search_options": (
        "I will search for the {thing} together with the options I was asked for.",
        "The options tell products apart, so I put them into the search: {query}.",
    ),
    "search_thing": (
        "The name of the product should be enough: {query}.",
        "A short search should do: {query}.",
        "I think a simple search for {query} is enough.",
    ),
    "search_word": ("I will just search for {query} and see what comes.", "One word should be enough: {query}."),
    "search_badly": (
        "The most important thing is {query}, so I search for that.",
        "I think everything that is {query} will do.",
    ),
    "invalid_search": ("I will click on {thing}.", "Let me go straight to the {thing} section."),
    "open_best": (
        "{title} looks right, and {price} is within {limit}. I will look at it.",
        "I think {title} comes closest to what was asked for, so I open it.",
        "Of these, {title} at {price} fits best.",
    ),
    "open_fitting": ("The name {title} fits what I am looking for.", "I think {title} matches the request, so I open it."),
    "open_first": (
        "The first one that I have not seen is probably the best: {title}.",
        "I will go through the list from the top: {title}.",
    ),
    "open_dear": ("{title} sounds perfect. I do not look at the price now.", "I think {title} is the best of them, whatever it costs."),
    "open_cheapest": ("{title} is the cheapest at {price}, so I look at that.", "I think saving money matters most: {price} it is."),
    "open_odd": ("{title} looks interesting.", "Maybe {title} is worth a look."),
    "open_again": ("I have seen enough; {title} was the best so far, so I go back to it.", "I will return to {title}."),
    "next_page": ("None of these convinces me; the next page may have something better.", "I will look at the next page."),
    "search_again": ("These are not what I need. I will search again.", "I think other keywords will find something better."),
    "invalid_buy": ("I have found it, so I buy it now.", "I think I can buy it right here."),
    "invalid_cart": ("I will add it to the cart first.", "I think it must go into the cart before I can pay."),
    "read_features": (
        "The title does not tell me about {missing}, so I read the features.",
        "Before I decide, I check the features for {missing}.",
        "I think the features will say something about {missing}.",
    ),
    "read_description": (
        "The description may tell more about {missing}.",
        "I still do not know about {missing}; I will read the description.",
    ),
    "read_reviews": ("Let me see what other people say about it.", "I will check the reviews first."),
    "choose": ("I was asked for {value}, so I choose it.", "I need the option {value}.", "I think {value} is the right choice here."),
    "choose_other": ("I will take {value}.", "{value} sounds good.", "I think {value} is what they want."),
    "choose_again": ("I want to make sure that {value} is chosen.", "I click {value} once more to be safe."),
    "buy": (
        "Product, options and price ({price}) are as I was told. I buy it.",
        "Everything is set, so I buy it now.",
        "I think this is exactly what was asked for. Time to buy.",
    ),
    "buy_anyway": (
        "I think this is as close as I can get. Time to buy.",
        "It does not mention {missing}, but there is no time for another one. I buy it.",
        "Not perfect without {missing}, but good enough. I buy it.",
    ),
    "buy_early": (
        "This looks good enough, so I buy it.",
        "I think this is what was asked for. Buy it.",
        "No need to read on, I will buy this one.",
    ),
    "leave": ("I am not sure about this one. Back to the list.", "Let me look at the other results again."),
    "leave_dear": (
        "{price} is more than {limit}, so I go back and look for a cheaper one.",
        "Too expensive: {price}. I look for another one.",
    ),
    "leave_option": (
        "This one does not come in the option that I need. I go back.",
        "The option I was asked for is not offered here, so I go back.",
    ),
    "leave_missing": (
        "It says nothing of {missing}, so I look at another product.",
        "Nobody promises {missing} here. Back to the results.",
    ),
    "go_back": ("That covers what was asked for. I go back to the product.", "Good, now I know enough. Back to the product page."),
    "go_back_missing": ("I have not found {missing} here. I go back to the product.", "Nothing about {missing}. Back to the product page."),
    "try": ("I think I should {action}.", "I will try: {action}.", "The next step could be to {action}."),
    "try_again": ("I will {action} again.", "Maybe it works this time: {action}."),
    "look": ("I do not know what I can do here, so I look around.", "I think I should look around first."),
}


def word_thought(choice: Choice, draw: random.Random) -> str:
    """One of the phrasings for the choice. Facts come from pages, so braces in them must mean nothing."""
    text = draw.choice(PHRASES[choice.kind])
    for name, value in {**choice.facts, "action": choice.action}.items():
        text = text.replace("{" + name + "}", value)
    return text
