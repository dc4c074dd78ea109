"""The demo model: a scripted chat-completions endpoint for when no real model is configured.

It understands nothing. It follows the rules below, gives the same answer to the same
conversation, and says plainly what it is. ``python -m deploy.local.demo_model --port N``
serves ``POST /v1/chat/completions`` (streamed or not), ``GET /v1/models``,
``GET /v1/models/{id}`` and ``GET /livez``; every model name and every key is accepted.
Start reading in ``script.py``.

*The question* is the last message with role ``user``. What happened since it decides the reply:

1. **Name.** When a system message says whom to address ("Please address the user as Jane
   Doe."), every text addresses that name; the last such instruction wins.
2. **Code.** With a function ``code_interpreter`` offered, each ``python`` fenced block of the
   question is run exactly as it stands. Without one, an equation in one letter (linear or
   quadratic, ``3x + 11 = 14``) or arithmetic (``12 * (3 + 4)``, ``15% of 80``) is turned into
   a program of the standard library. A text comes first, then the call.
3. **Files.** ``file_search`` (or ``retrieval``) is called when the question speaks of files or
   documents, or asks something that no other tool serves. The query is the question. The answer quotes
   the sentences that share most words with it, each with its marker.
4. **Functions.** Any other function is called when the question holds its name or a telling
   word of its name; when none is so named, a word of its description serves. Arguments
   follow the JSON schema (``arguments.py``): quoted text, then capitalised words ("San
   Francisco, CA") for strings, the enum value that is mentioned, numbers in order of
   appearance. Required ones are always filled, optional ones only from the question. A
   function with one free string is called once for each place or name in the question.
5. **How many.** All calls go into one reply; with ``parallel_tool_calls: false`` one a reply,
   the next when its output is there. ``tool_choice`` ``none`` forbids calls; ``required`` or a
   named function forces one each time it is sent, with made-up arguments if it must.
6. **Answers.** Once the outputs are in, the answer quotes them; nothing is computed here. An
   output that reports an error is passed on as one. Anything else gets a short text
   that says this is the demo model, and how to configure a real one.
7. **Form.** ``response_format`` ``json_object`` wraps the text as ``{"answer": ...}``,
   ``json_schema`` is filled as arguments are. ``max_completion_tokens`` / ``max_tokens`` count
   words; calls that do not fit are left out, with finish reason ``length``.
   Usage is a quarter of the characters.
"""
