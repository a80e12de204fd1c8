"""The command line: `tsbench COMMAND key=value ...`, one Hydra config a command."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from tsbench.halt import Halted
from tsbench.refusal import refusal

HERE = Path(__file__).parent
CONF = next(folder for folder in (HERE / "conf", HERE.parent / "conf") if folder.is_dir())


def commands() -> list[str]:
    """Return the commands: the configs that have a target."""
    return sorted(p.stem for p in CONF.glob("*.yaml") if "\n_target_:" in p.read_text())


def main() -> None:
    """Run one command; a bad input ends with one sentence and exit code 2."""
    command = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if command not in commands():
        print(f"usage: tsbench {{{','.join(commands())}}} key=value ...", file=sys.stderr)
        print("       tsbench COMMAND --help lists a command's keys", file=sys.stderr)
        sys.exit(0 if command in ("-h", "--help") else 2)
    sys.argv[1:2] = []
    os.environ["HYDRA_FULL_ERROR"] = "1"

    def run(config: DictConfig) -> None:
        logging.getLogger().setLevel(logging.WARNING)  # a line for each request helps nobody
        with one_sentence(command):
            instantiate(config, _convert_="all")()

    with one_sentence(command):
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=command)(run)()


@contextmanager
def one_sentence(command: str) -> Iterator[None]:
    """End on a bad input, a limit or a signal with a sentence; let every other error through."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"tsbench {command}: ended by Ctrl-C; the same command goes on", file=sys.stderr)
        sys.exit(130)
    except Halted as end:
        print(f"tsbench {command}: {end}", file=sys.stderr)
        sys.exit(end.code)
    except Exception as error:
        sentence = refusal(error, CONF, command)
        if sentence is None:
            raise
        print(f"tsbench {command}: {sentence}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
