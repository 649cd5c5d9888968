"""What a turn costs: the project's prices, then the list that `genai-prices` carries."""

from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata
from pathlib import Path

import pytest

from perdure import ConfigError
from perdure.core.clock import to_micros
from perdure.core.settings import load_settings
from perdure.core.spending_settings import PriceSettings
from perdure.governance import Amount, Listed, Prices, TokenCounts, dollars, from_nanos, to_nanos

NOW = to_micros(datetime(2026, 11, 25, 12, tzinfo=UTC))


def prices(**given: object) -> Prices:
    return Prices.of(PriceSettings.model_validate(given), listed=Listed())


# money ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "nanos"), [("2.50", 2_500_000_000), (0.1, 100_000_000), (3, 3 * 10**9), ("$1e-10", 1)]
)
def test_dollars_are_whole_nano_dollars_inside(written: str | float, nanos: int) -> None:
    assert to_nanos(written) == nanos


@pytest.mark.parametrize("written", ["-1", "much", float("nan"), True, "1e12"])
def test_what_is_no_amount_is_refused(written: object) -> None:
    with pytest.raises(ConfigError, match=str(written)):
        to_nanos(written)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "$0.00"),
        (1_234_500_000_000, "$1,234.50"),
        (12_345_000, "$0.01234"),
        (1, "$0.000000001"),
        (-2 * 10**9, "-$2.00"),
        (50_000_000, "$0.05"),
    ],
)
def test_small_money_is_shown_with_digits_that_say_something(nanos: int, text: str) -> None:
    assert dollars(nanos) == text


# a project's own prices -----------------------------------------------------------------------------------------


def test_a_turn_is_charged_by_its_tokens_and_rounded_up_once() -> None:
    own = prices(
        version="contract-7", models={"house:small": {"input": "0.3333", "output": 2, "cached": "0.1"}}
    )

    charge = own.charge("house:small", NOW, TokenCounts(input=10, output=3, cached=4))

    assert charge.amount == Amount(
        money=-(-(6 * 333_300_000 + 4 * 100_000_000 + 3 * 2_000_000_000) // 1_000_000),
        input_tokens=10,
        output_tokens=3,
        tokens=13,
        model_calls=1,
    )
    assert (charge.source, charge.version, charge.unpriced) == ("perdure.toml", "contract-7", False)


def test_what_has_no_price_is_unpriced_and_its_tokens_still_count() -> None:
    charge = prices().charge("scripted:answers.json", NOW, TokenCounts(input=10, output=3))

    assert charge.unpriced
    assert charge.source is None
    assert charge.amount == Amount(input_tokens=10, output_tokens=3, tokens=13, model_calls=1)


def test_a_name_goes_before_a_pattern() -> None:
    own = prices(
        models={"scripted:*": {"input": 1, "output": 1}, "scripted:dear.json": {"input": 9, "output": 9}}
    )

    assert own.charge("scripted:dear.json", NOW, TokenCounts(input=1_000_000)).amount.money == 9 * 10**9
    assert own.charge("scripted:any.json", NOW, TokenCounts(input=1_000_000)).amount.money == 10**9


def test_an_estimate_takes_the_most_that_may_come() -> None:
    own = prices(
        default_output=100,
        models={
            "house:plain": {"input": 1, "output": 10},
            "house:known": {"input": 1, "output": 10, "max_output": 50},
            "house:caching": {"input": 1, "output": 0, "cache_write": 2},
        },
    )

    def money(model: str, output: int | None = None) -> int:
        return own.estimate(model, NOW, prompt=1000, output=output).amount.money

    assert money("house:plain") == 1000 * 1000 + 100 * 10_000
    assert money("house:plain", output=7) == 1000 * 1000 + 7 * 10_000
    assert money("house:known") == 1000 * 1000 + 50 * 10_000
    assert money("house:caching") == 1000 * 2000, "writing to a cache may cost more than not to use it"


def test_a_turn_whose_tokens_nobody_counted_is_charged_what_was_reserved_for_it() -> None:
    own = prices(models={"house:small": {"input": 1, "output": 1}})
    reserved = own.estimate("house:small", NOW, prompt=10, output=10)

    charge = own.charge("house:small", NOW, TokenCounts(), otherwise=reserved.amount)

    assert charge.amount == reserved.amount
    assert charge.estimated


def test_tools_have_fees_and_humans_a_price_a_minute() -> None:
    own = prices(tools={"credit-check": "0.25"}, human_minute="1.20")

    assert own.fee("credit-check").amount == Amount(money=250_000_000, tool_calls=1)
    assert own.fee("look-up").amount == Amount(tool_calls=1)
    assert not own.fee("look-up").unpriced
    human = own.human(90_000_000)
    assert human is not None
    assert human.amount.money == 1_800_000_000
    assert prices().human(90_000_000) is None


def test_prices_that_have_no_version_get_one_that_changes_with_them() -> None:
    one, other = (prices(models={"house:small": {"input": p, "output": 1}}) for p in (1, 2))

    assert len(one.version) == 12
    assert one.version != other.version


def test_a_file_of_prices_lies_beside_the_settings_which_go_before_it(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(
        'version = "2026-11"\n[models."house:small"]\ninput = 1\noutput = 1\n'
        '[models."house:big"]\ninput = 2\noutput = 2\n'
    )
    (tmp_path / "perdure.toml").write_text(
        '[prices]\nfile = "prices.toml"\n[prices.models."house:big"]\ninput = 5\noutput = 5\n'
    )

    own = Prices.of(load_settings(tmp_path / "perdure.toml").prices)

    charge = own.charge("house:small", NOW, TokenCounts(input=1_000_000))
    assert (charge.amount.money, charge.source, charge.version) == (10**9, "prices.toml", "2026-11")
    assert own.charge("house:big", NOW, TokenCounts(input=1_000_000)).amount.money == 5 * 10**9


@pytest.mark.parametrize(
    ("text", "said"),
    [("[models.a]\ninput = 1\n", "models.a.output"), ("[models", "TOML"), ('modles = "x"\n', "modles")],
)
def test_a_file_of_prices_that_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)

    with pytest.raises(ConfigError, match=said):
        prices(file=str(file))


# the list -------------------------------------------------------------------------------------------------------


def test_a_listed_model_is_charged_as_its_list_reckons() -> None:
    import genai_prices

    counts = TokenCounts(input=250_000, output=1_000, cached=20_000, cache_write=30_000)

    for model, provider in (
        ("anthropic:claude-sonnet-4-5", "anthropic"),
        ("openai:gpt-5", "openai"),
        ("openai-responses:gpt-5", "openai"),
        ("google-gla:gemini-2.5-pro", "google"),
    ):
        charge = prices().charge(model, NOW, counts)
        theirs = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=250_000, output_tokens=1_000, cache_read_tokens=20_000, cache_write_tokens=30_000
            ),
            model.partition(":")[2],
            provider_id=provider,
            genai_request_timestamp=datetime(2026, 11, 25, 12, tzinfo=UTC),
        )
        assert from_nanos(charge.amount.money) == theirs.total_price.quantize(Decimal("1e-9")), model
        assert (charge.source, charge.version) == ("genai-prices", metadata.version("genai-prices"))


@pytest.mark.parametrize("model", ["openai:no-such-model-at-all", "test:gpt-5", "house:gpt-5", "gpt-5"])
def test_a_model_that_is_not_listed_is_unpriced(model: str) -> None:
    assert prices().charge(model, NOW, TokenCounts(input=1)).unpriced


def test_the_list_can_be_left_aside() -> None:
    assert prices(listed=False).charge("openai:gpt-5", NOW, TokenCounts(input=1)).unpriced
