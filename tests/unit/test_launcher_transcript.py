"""How a conversation is written down."""

import io

from deploy.local.transcript import Transcript


def test_pieces_of_one_speaker_run_on_and_lines_are_aligned() -> None:
    paper = io.StringIO()
    transcript = Transcript(paper)

    transcript.say("code", "x = ")
    transcript.say("code", "1\n\n")
    transcript.say("code", "print(x)\n")
    transcript.say("output", "1")
    transcript.end("Completed.")

    assert paper.getvalue() == (
        "  code       x = 1\n"
        "\n"
        "             print(x)\n"
        "  output     1\n"
        "\n"
        "Completed.\n"
        "\n"
    )  # fmt: skip
