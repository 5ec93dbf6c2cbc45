"""One tree of errors and one of warnings, so that a caller can catch all of ours at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """A place in a model string.

    Attributes
    ----------
    line, column : int
        1-based position of the first character.
    length : int
        Number of characters, at least 1.
    text : str
        The whole source line, for the caret display.
    """

    line: int
    column: int
    length: int
    text: str

    def show(self) -> str:
        """Return the source line with carets under the place meant."""
        source = self.text.replace("\t", " ")
        return f"    {source}\n    {' ' * (self.column - 1)}{'^' * max(1, self.length)}"


class FosaError(Exception):
    """Base class of every error that this package raises on purpose."""


class _LocatedError(FosaError, ValueError):
    """An error that can point at a place in the model string."""

    def __init__(self, message: str, span: SourceSpan | None = None) -> None:
        self.message = message
        self.span = span
        self.line = span.line if span else None
        self.column = span.column if span else None
        if span is not None:
            message = f"line {span.line}, column {span.column}: {message}\n{span.show()}"
        super().__init__(message)


class ModelSyntaxError(_LocatedError):
    """The model string does not follow the model language."""


class ModelSpecificationError(_LocatedError):
    """The model string can be read, but what it asks for makes no sense as a model."""


class DataError(FosaError, ValueError):
    """The data cannot be used as they are."""


class SavedFileError(DataError):
    """A file is not what this package saved: another kind, another version, damaged or changed."""


class DependenceError(DataError):
    """Columns are exactly dependent, so that the likelihood has no maximum."""


class OptionError(FosaError, ValueError):
    """An option has a value outside what is allowed."""


class IdentificationError(FosaError, ValueError):
    """The data and the model do not determine the parameters."""


class ConvergenceError(FosaError, RuntimeError):
    """No finite estimate could be found."""


class EngineError(FosaError, RuntimeError):
    """An estimation engine cannot express the model or failed."""


class MissingDependencyError(FosaError, ImportError):
    """An optional package is needed; the message says how to install it."""


class FosaWarning(UserWarning):
    """Base class of every warning of this package."""


class ModelWarning(FosaWarning):
    """The model string can be read, but may not mean what it seems to."""


class DroppedRowsWarning(FosaWarning):
    """Rows were left out of the analysis."""


class CoverageWarning(FosaWarning):
    """A pair of variables is never observed together."""


class ConvergenceWarning(FosaWarning):
    """The estimate returned is not certified as a maximum of the likelihood."""


class AdmissibilityWarning(FosaWarning):
    """The estimate is a maximum but lies outside the space of proper models."""


class CollinearityWarning(FosaWarning):
    """Columns are exactly dependent and a stated ridge was added."""


class InferenceWarning(FosaWarning):
    """A test, standard error or interval is not given, or is not quite what was asked for."""


class CongenialityWarning(FosaWarning):
    """An analysis of imputed data asks for what the imputation model rules out."""


class EngineWarning(FosaWarning):
    """Another program, such as lavaan, warned while it worked for us; the text is its own."""
