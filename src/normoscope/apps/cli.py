"""The command line: what may be typed, nothing else. The work is in `commands`, imported only when it starts.

Exit codes: 0 done · 1 unexpected failure (with a traceback) · 2 wrong input, one line says which · 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn, TextIO, cast

from .._version import __version__
from ..errors import NormoscopeError

__all__ = ["main", "parser", "shown"]

EPILOG = """DATA is a path (folder, image, .npz, .csv, .parquet) or SOURCE:ARGUMENT, for instance
medmnist:pneumoniamnist, folder:scans/ or phantom. Exit codes: 0 done, 1 unexpected failure, 2 wrong input,
130 interrupted."""

RESIDUALS = ("squared", "absolute", "ssim", "gradient", "normalised", "variance", "rec-gradient", "kl-gradient",
             "elbo-gradient", "kl-weighted")  # fmt: skip

RANKS = """Rank, in each FILE, the AUROC of the rows that saw no labels and that all files share; 1 is best. Files
whose data come from one source count once. From 8 sources on, Friedman's test and Nemenyi's critical difference say
which methods differ; below, there are too few data sets to test."""

SWEEP = """Fit METHOD at several values of one setting, for several seeds that hold out different normals, and choose by
what normal images alone say: reconstruction errors, the latent's entropy at equal distortion, and how well anomalies
planted in held-out normals are told from them. Training stops after 20 epochs without progress unless --patience says
otherwise."""

EXPLAIN = """Say why images have their scores: where they deviate from normals, which pixels, terms and latent
dimensions raise the score, and which training normals are nearest; beside every map, whether it is true of the score.
Pages open offline."""

SANITY = """Judge every map of a model on images it was not fitted on: does its highest pixel lie in the lesion (where
there are masks), does the score follow when the map's highest pixels become what they would be if normal, and does the
map change when the weights are drawn anew. Random, centre, brightest-pixel and edge maps stand beside."""

SELECTORS = ("planted", "knee", "dimension", "entropy")

_DATA = "folder, .npz, .csv or .parquet file, or SOURCE:ARGUMENT (see 'normoscope list sources')"

_MODEL = "folder that 'normoscope fit' wrote"

_PRESET = """paper: the recipes' defaults, with the networks of some papers many hours; quick: mostly 20 epochs, for
trying out (default: %(default)s)"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error does; takes no shortened option for another."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **more})

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"normoscope: error: {message}; see '{self.prog} --help'.\n")


def _opened(stream: TextIO | None) -> TextIO:
    """Return the stream, or one that forgets where the caller has closed it."""
    return open(os.devnull, "w", encoding="utf-8") if stream is None else stream


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    sys.stdout, sys.stderr = _opened(sys.stdout), _opened(sys.stderr)
    _share_cores()
    try:
        top = parser(words)
        args, unknown = top.parse_known_args(words)
        if unknown:
            top.prog += f" {args.command}"  # whose help lists what it takes
            top.error(f"unrecognized arguments: {' '.join(unknown)}")
        args.typed = words
        code = _command(args.command)(args)
        sys.stdout.flush()  # here, where what goes wrong is told
        return code
    except BrokenPipeError:
        # the reader of a pipe went away: not our failure, and nothing more may be written
        _forget_output()
        return 0
    except (NormoscopeError, OSError) as error:
        from .output import failure

        if (said := failure(error)) is None:
            raise
        if isinstance(error, OSError) and error.filename is None:  # it was standard output that is full
            _forget_output()
        print(f"normoscope: error: {said}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("normoscope: interrupted", file=sys.stderr)
        return 130


def _forget_output() -> None:
    """Drop what standard output still holds, or the interpreter would try to write it once more at its end."""
    with suppress(OSError, ValueError):  # a stream without a file, as a caller's, writes nothing then
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _share_cores() -> None:
    """Let waiting threads of GNU's OpenMP give up their core sooner; it reads this once, when torch is imported.

    By default a thread that waits for another spins for milliseconds, after each of thousands of small steps: beside
    programs that want the same cores everything takes ten times as long.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


_ELSEWHERE = {
    "list": ("listing", "list_members"),
    "reproduce": ("reproduction", "reproduce"),
    "rank": ("ranks", "rank"),
    "sweep": ("sweeps", "sweep"),
    "explain": ("explaining", "explain"),
    "sanity": ("sanity", "sanity"),
}
"""Commands that do not stand in `commands`: module and function."""


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    """Import what the command needs, and for a listing nothing heavy."""
    module, function = _ELSEWHERE.get(name, ("commands", name))
    found = getattr(importlib.import_module(f".{module}", __package__), function)
    return cast("Callable[[argparse.Namespace], int]", found)


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Build the parser; `fit METHOD` gets that method's own options, read off its recipe."""
    top: argparse.ArgumentParser = _Parser("normoscope", description=_description(), epilog=EPILOG)
    top.add_argument("--version", action="version", version=f"normoscope {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    data, run, output = _data_options(), _run_options(), _output_options()
    scoring, split = _scoring_options(), _split_options()

    demo = commands.add_parser("demo", parents=[run, output], help="train, evaluate and report on the built-in phantom")
    demo.add_argument("--out", default="demo", help="folder for model and report (default: %(default)s)")

    listing = commands.add_parser("list", parents=[output], help="list methods, sources, metrics or protocols")
    listing.add_argument("what", choices=["methods", "sources", "metrics", "protocols"])

    inspect = commands.add_parser("inspect", parents=[data, output], help="look at data before anything is fitted")
    inspect.add_argument("data", metavar="DATA", help=_DATA)

    fit = commands.add_parser(
        "fit", parents=[data, split, scoring, run, output], help="fit a detector on normal images"
    )
    fit.add_argument(
        "method", metavar="METHOD", help="one of 'normoscope list methods'; --help after it lists its options"
    )
    fit.add_argument("data", metavar="DATA", help=_DATA)
    fit.add_argument("--out", required=True, metavar="MODEL", help="model folder to write")
    fit.add_argument("--overwrite", action="store_true", help="replace the model folder if it exists")
    left = fit.add_mutually_exclusive_group()
    left.add_argument(
        "--resume", action="store_true", help="go on from an interrupted run's checkpoints (MODEL.checkpoint)"
    )
    left.add_argument("--restart", action="store_true", help="discard an interrupted run's checkpoints")
    fit.add_argument("--preset", choices=["paper", "quick"], default="paper", help=_PRESET)
    fit.add_argument("--devices", type=int, default=1, help="processes that share every batch (default: %(default)s)")
    _false_alarms(fit)
    _method_options(fit, words)

    score = commands.add_parser(
        "score", parents=[_data_options(normal=False), run, output], help="score images with a model"
    )
    _model_and_data(score)
    score.add_argument("--out", required=True, metavar="CSV", help="scores file to write")
    score.add_argument(
        "--maps",
        metavar="DIR",
        help="also write each image's map (.npy), "
        "heatmap (.png) and regions (masks/*.png), and maps.csv, which lists them",
    )

    evaluate = commands.add_parser("evaluate", parents=[data, run, output], help="measure a model on labelled images")
    _model_and_data(evaluate)
    evaluate.add_argument("--scores", metavar="CSV", help="also write every test image's score with its label")

    entropy = commands.add_parser(
        "entropy", parents=[data, run, output], help="measure the latent entropy of an autoencoder on normal images"
    )
    _model_and_data(entropy)

    explain = commands.add_parser(
        "explain", parents=[_data_options(patients=False), run, output], description=EXPLAIN,
        help="say why images have their scores: a page for each",
    )  # fmt: skip
    explain.add_argument("model", metavar="MODEL", help=_MODEL)
    explain.add_argument("images", nargs="+", metavar="IMAGE",
                         help="an image file, DATA#NAME for one image of some data, or DATA for all of it")  # fmt: skip
    explain.add_argument("--out", required=True, metavar="DIR", help="folder of the pages and of explanations.json")
    explain.add_argument("--normals", metavar="DATA", help="where the model's own data are now; its training normals "
                         "become neighbours (default: where they were)")  # fmt: skip
    explain.add_argument("--most", type=_natural, default=20, metavar="N",
                         help="refuse more images than this: each takes seconds, with a method whose "
                         "every score is a search up to an hour (default: %(default)s)")  # fmt: skip

    sanity = commands.add_parser(
        "sanity", parents=[data, run, output], help="judge a model's maps beside maps that know nothing",
        description=SANITY,
    )  # fmt: skip
    _model_and_data(sanity)
    sanity.add_argument("--few", type=_natural, default=32, metavar="N",
                        help="images for attributions and curves (default: %(default)s)")  # fmt: skip
    sanity.add_argument("--out", metavar="JSON", help="also write the figures with their provenance")

    compare = commands.add_parser("compare", parents=[data, split, run, output], help="fit and measure several methods")
    compare.add_argument("methods", nargs="+", metavar="METHOD", 
                         help="NAME or NAME:FIELD=VALUE,FIELD=VALUE, such as cae:epochs=300,channels=16,32 (fields "
                         "with underscores); residual, pooling and their numbers rescore it without training again; "
                         "the first is what all others are paired with")  # fmt: skip
    compare.add_argument("--data", required=True, metavar="DATA", help=_DATA)
    compare.add_argument("--preset", choices=["paper", "quick"], default="paper", help=_PRESET)
    compare.add_argument("--seeds", type=int, default=1, metavar="N",
                         help="fit N times, with N seeds from --seed on (default: 1)")  # fmt: skip
    compare.add_argument("--out", metavar="JSON", help="also write the table with its provenance")
    compare.add_argument("--scores", metavar="CSV", help="also write every image's score by every method and seed, "
                         "with its label")  # fmt: skip
    _false_alarms(compare)

    rank = commands.add_parser(
        "rank", parents=[output], help="rank methods over stored comparisons, and test their ranks", description=RANKS
    )
    rank.add_argument("files", nargs="+", metavar="FILE", help="table that 'normoscope compare --out' wrote")
    rank.add_argument("--source", action="append", default=[], metavar="NAME=ORIGIN",
                      help="where a data set comes from, for instance pneumoniamnist=chest_xray, or a FILE's "
                      "(default: the name of the data without the size at its end)")  # fmt: skip
    rank.add_argument("--out", metavar="SVG", help="also draw the critical-difference plot")

    sweep = commands.add_parser(
        "sweep", parents=[data, split, output], help="choose a setting, such as the latent size, without labels",
        description=SWEEP,
    )  # fmt: skip
    sweep.add_argument("method", metavar="METHOD", help="--help after it lists its options; they hold for all fits")
    sweep.add_argument("data", metavar="DATA", help=_DATA)
    sweep.add_argument("--over", default="latent_dim", metavar="FIELD[=V1,V2,...]",
                       help="what varies, least capacity first, or 'method=NAME,NAME' (default: "
                       "latent_dim=1,2,4,...,128)")  # fmt: skip
    sweep.add_argument("--out", required=True, metavar="DIR", help="folder of the result and of the finished fits")
    sweep.add_argument("--preset", choices=["paper", "quick"], default="paper", help=_PRESET)
    sweep.add_argument("--seeds", type=int, default=3, metavar="N", help="fits per value (default: %(default)s)")
    sweep.add_argument(
        "--selector", choices=SELECTORS, default=SELECTORS[0], help="what chooses (default: %(default)s)"
    )
    sweep.add_argument("--processes", type=int, metavar="N", help="fits at once, one thread each (default: cores)")
    sweep.add_argument("--labels", action="store_true",
                       help="also show the AUROC by the test labels, marked oracle; it chooses nothing")  # fmt: skip
    _method_options(sweep, words)

    calibrate = commands.add_parser(
        "calibrate", parents=[data, scoring, run, output], help="set a model's rule anew from normal images"
    )
    _model_and_data(calibrate)
    _false_alarms(calibrate)
    calibrate.add_argument("--rule", choices=["conformal", "upper", "two-sided"], default="conformal",
                           help="upper and two-sided: mean ± k sd, no guarantee")  # fmt: skip
    calibrate.add_argument("--k", type=float, help="standard deviations, above 0, of upper and two-sided (default: 2)")

    report = commands.add_parser("report", parents=[data, run, output], help="write a self-contained HTML report")
    _model_and_data(report)
    report.add_argument("--out", required=True, metavar="HTML", help="report to write")
    report.add_argument("--no-images", action="store_true", help="leave images and file names out")

    reproduce = commands.add_parser(
        "reproduce", parents=[output], help="run a paper's experiment and print its tables beside the published ones"
    )
    reproduce.add_argument("protocol", metavar="PROTOCOL", help="one of 'normoscope list protocols'")
    reproduce.add_argument("--quick", action="store_true", help="the short form, minutes instead of hours")
    reproduce.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="runs of every method; default: the paper's number, or five where it names none",
    )
    where = reproduce.add_mutually_exclusive_group()
    where.add_argument("--processes", type=int, metavar="N", help="jobs at once, one thread each (default: cores)")
    where.add_argument("--ray", metavar="ADDRESS", help="do the jobs on the running Ray cluster that this machine is "
                       "part of: HOST:PORT of its head, or auto; its nodes need this package and the data")  # fmt: skip
    reproduce.add_argument("--collect", action="store_true", help="run nothing: tables of the jobs that are done")
    reproduce.add_argument("--out", default="results", metavar="DIR", help="folder of tables, figures and jobs "
                           "(default: %(default)s)")  # fmt: skip
    return top


def shown(value: Any) -> str:
    """Print a setting's value as one would type it."""
    value = getattr(value, "value", value)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def _natural(text: str) -> int:
    """Read a whole number of 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got {text!r}")
    return int(text)


def _shares(text: str) -> tuple[float, ...]:
    """Read three percentages."""
    shares = text.split(",")
    if len(shares) != 3 or not all(s.isdecimal() for s in shares) or sum(map(int, shares)) != 100 or int(shares[0]) < 1:
        raise argparse.ArgumentTypeError(
            f"expected three whole percentages that make 100, the first above 0, as 70,10,20, got {text!r}"
        )
    return tuple(int(s) / 100 for s in shares)


def _rate(text: str) -> float:
    """Read a rate between 0 and 1."""
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 < rate < 1:
        raise argparse.ArgumentTypeError(f"expected a rate between 0 and 1, for instance 0.05, got {text!r}")
    return rate


def _description() -> str:
    return "Learn what healthy looks like from normal medical images alone; score and localise what deviates."


def _parent() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(add_help=False)


def _data_options(*, patients: bool = True, normal: bool = True) -> argparse.ArgumentParser:
    options = _parent()
    group = options.add_argument_group("data")
    if normal:
        group.add_argument("--normal-class", metavar="NAME_OR_INT", help="name or number of the class that is normal "
                           "(default: of a model's own data what it was fitted with, in folders the one class named "
                           "normal or good; else it must be named)")  # fmt: skip
    else:
        options.set_defaults(normal_class=None)
    if patients:
        group.add_argument(
            "--group-regex", metavar="REGEX", help="patient id inside the image name: first group or whole match"
        )
    group.add_argument("--skip-unreadable", action="store_true", help="go on without unreadable images, and list them")
    group.add_argument("-o", "--option", action="append", default=[], metavar="KEY=VALUE",
                       help="field of the source (docs/reference/sources.md), for instance layout=flat")  # fmt: skip
    return options


def _run_options() -> argparse.ArgumentParser:
    options = _parent()
    group = options.add_argument_group("run")
    group.add_argument("--seed", type=_natural, default=0,
                       help="seed of all randomness but the split's (default: %(default)s)")  # fmt: skip
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default: %(default)s)")
    group.add_argument("--precision", choices=["auto", "float32", "bf16"], default="auto",
                       help="auto: bf16 where the hardware has it; float32 to compare machines "
                       "(default: %(default)s)")  # fmt: skip
    group.add_argument("--threads", type=int, help="processor threads (default: torch's own choice)")
    return options


def _output_options() -> argparse.ArgumentParser:
    options = _parent()
    group = options.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    group.add_argument("--quiet", action="store_true", help="no progress bars and no notes")
    return options


def _split_options() -> argparse.ArgumentParser:
    options = _parent()
    group = options.add_argument_group("split and preprocessing")
    group.add_argument("--split-seed", type=_natural, default=0, help="seed of the four parts (default: %(default)s)")
    group.add_argument("--parts", type=_shares, metavar="TRAIN,SELECT,CALIBRATE", help="percent of the training "
                       "normals (default: 70,10,20; 90,10 where official validation normals calibrate)")  # fmt: skip
    group.add_argument(
        "--image-size",
        type=int,
        default=0,
        help="side in pixels, 8 to 1024; 0: that of the first 64 training images where all are square, of one size and "
        "8 to 256 pixels wide, else 64 (default: 0)",
    )
    group.add_argument("--image-channels", type=int, default=0, choices=[0, 1, 3], help="1: grey, 3: colour, "
                       "0: colour where one of the first 64 training images has it (default: 0)")  # fmt: skip
    group.add_argument(
        "--aspect",
        choices=["pad", "crop", "squash"],
        default="pad",
        help="images that are not square: pad with black, crop the centre, or squash (default: %(default)s)",
    )
    group.add_argument("--intensity", choices=["minmax", "percentile", "zscore", "standardise", "local-contrast"],
                       default="minmax", help="what becomes 0 and 1 (what lies outside is cut off); minmax: the "
                       "darkest and brightest value of all training normals, percentile: their 0.5 and 99.5 %%, "
                       "zscore: their mean ± 3 sd; each image by itself first, for scanners or windows that differ: "
                       "standardise (mean 0, sd 1), local-contrast (each pixel by its surroundings) "
                       "(default: %(default)s)")  # fmt: skip
    return options


def _scoring_options() -> argparse.ArgumentParser:
    options = _parent()
    group = options.add_argument_group(
        "scoring by the reconstruction",
        "in place of the method's own score and map; a residual alone is averaged, a pooling alone is of the squared "
        "residual. Of local_gaussian that is the residual of its linear subspace, without its Gaussians.",
    )
    group.add_argument("--residual", choices=RESIDUALS, help="comparison at a pixel; normalised: squared "
                       "over the image's gradient energy, the -gradient ones "
                       "differentiate the method's loss, variance is learnt on select normals")  # fmt: skip
    group.add_argument("--sigma", type=float, help="window of the ssim residual in pixels (default: 1.5)")
    group.add_argument("--pooling", choices=["mean", "top", "maximum"], help="how a map becomes a score: its mean, the "
                       "mean of its largest values, or the largest once it is smoothed")  # fmt: skip
    group.add_argument("--fraction", type=float, help="share of pixels that 'top' averages (default: 0.02)")
    group.add_argument("--smoothing", type=float, help="blur in pixels before 'maximum' (default: 2)")
    return options


def _model_and_data(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help=_MODEL)
    command.add_argument("data", metavar="DATA", help=_DATA)


def _false_alarms(command: argparse.ArgumentParser) -> None:
    command.add_argument("--false-alarms", type=_rate, default=0.05, metavar="RATE",
                         help="wished false-alarm rate on normals, between 0 and 1; needs 1/RATE - 1 calibration "
                         "normals (patients where they are known), so 19 for 0.05, 99 for 0.01 "
                         "(default: %(default)s)")  # fmt: skip


def _method_options(fit: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the named method's fields as options; that method's file, and no other, is imported."""
    if not words or words[0] != fit.prog.rpartition(" ")[2]:
        return
    from .. import methods

    named = _first_positional(fit, words[1:])
    if named not in methods.names():
        return
    import dataclasses

    cls: Any = methods.recipe_class(named)
    help_texts = methods.field_help(cls)
    group = fit.add_argument_group(f"options of {named} (defaults: preset paper)")
    for field in dataclasses.fields(cls):
        text = help_texts.get(field.name, "").replace("%", "%%")
        group.add_argument(f"--{field.name.replace('_', '-')}", dest=f"method_{field.name}", metavar="VALUE",
                           help=f"{text} (default: {shown(field.default)})")  # fmt: skip


def _first_positional(command: argparse.ArgumentParser, words: Sequence[str]) -> str | None:
    """Return the first word that is neither an option nor an option's value."""
    flags = {name for action in command._actions if action.nargs == 0 for name in action.option_strings}
    remaining = iter(words)
    for word in remaining:
        if not word.startswith("-"):
            return word
        if word not in flags and "=" not in word:
            next(remaining, None)
    return None


if __name__ == "__main__":
    sys.exit(main())
