"""What the screen asks: a line, a step, a choice; and a comparison to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Checkbox, Input, Label, OptionList, Static, TextArea
from textual.widgets.option_list import Option

from langchain_tts.debugger._compare import Comparison

_CANCEL: list[BindingType] = [("escape", "dismiss(None)", "Cancel")]


class Written(NamedTuple):
    """A step that was written by hand."""

    text: str
    ends: bool
    """Whether the answer is complete with it."""


class Ask(ModalScreen[str | None]):
    """Asks for one line.

    Args:
        title: What is asked.
        value: What is there at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = _CANCEL

    def __init__(self, title: str, value: str = "") -> None:
        super().__init__()
        self._title = title
        self._value = value

    def compose(self) -> ComposeResult:
        """A box with a line to write in."""
        with Vertical(classes="dialog"):
            yield Label(self._title)
            yield Input(self._value)
            yield Label("enter: go on · esc: cancel", classes="hint")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what was written."""
        self.dismiss(event.value.strip())


class Rewrite(ModalScreen[Written | None]):
    """Asks for the text of a step.

    Args:
        title: Which step.
        text: Its text so far.
        ends: Whether the answer is complete with it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*_CANCEL, ("ctrl+s", "take", "Use it")]

    def __init__(self, title: str, text: str, *, ends: bool) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._ends = ends

    def compose(self) -> ComposeResult:
        """A box with lines to write in."""
        with Vertical(classes="dialog"):
            yield Label(self._title)
            yield TextArea(self._text)
            yield Checkbox("the answer is complete with this step", self._ends)
            yield Label(
                "ctrl+s: use it · tab: to the box above · esc: cancel", classes="hint"
            )

    def action_take(self) -> None:
        """Take what was written."""
        text = self.query_one(TextArea).text
        self.dismiss(Written(text, self.query_one(Checkbox).value))


class Choose(ModalScreen[str | None]):
    """Asks for one of several.

    Args:
        title: What is asked.
        options: The choices.
        highlighted: The place of the one that is marked at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = _CANCEL

    def __init__(
        self, title: str, options: Sequence[str], highlighted: int = 0
    ) -> None:
        super().__init__()
        self._title = title
        self._options = options
        self._highlighted = highlighted

    def compose(self) -> ComposeResult:
        """A box with a list."""
        with Vertical(classes="dialog"):
            yield Label(self._title)
            yield OptionList(*(Option(Text(text)) for text in self._options))
            yield Label("↑ ↓ enter: choose · esc: cancel", classes="hint")

    def on_mount(self) -> None:
        """Mark the first choice."""
        self.query_one(OptionList).highlighted = self._highlighted

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take what was chosen."""
        self.dismiss(self._options[event.option_index])


class Compared(ModalScreen[None]):
    """Shows two branches side by side.

    Args:
        comparison: Of the two.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,enter,c,q", "dismiss(None)", "Close")
    ]

    def __init__(self, comparison: Comparison) -> None:
        super().__init__()
        self._comparison = comparison

    def compose(self) -> ComposeResult:
        """A box with a table."""
        table = Table(box=None, expand=True, padding=(0, 1))
        table.add_column(style="bright_black")
        table.add_column(Text(self._comparison.a.branch), ratio=1, overflow="fold")
        table.add_column(Text(self._comparison.b.branch), ratio=1, overflow="fold")
        for what, left, right in self._comparison.rows():
            style = "bold" if left != right else "bright_black"
            table.add_row(what, Text(left, style=style), Text(right, style=style))
        with Vertical(classes="dialog wide"):
            yield Label(f"Branches {self._comparison.title}")
            with VerticalScroll():
                yield Static(table)
            yield Label("esc: close", classes="hint")
