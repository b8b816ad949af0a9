#!/usr/bin/env python3
"""Compares vmetal's tokenizer with the `tokenizers` library, token for token, on random text.

Usage: compare_tokenizers.py BENCH TOKENIZER [--reference FILE|GGUF] [--cases N] [--seed S]
  BENCH       build/tokenizer_bench
  TOKENIZER   a tokenizer.json, or a dump of tools/dump_gguf_tokenizer.py (then --reference names the GGUF file)
Needs: pip install tokenizers (and transformers, torch, gguf for a GGUF reference).
Prints the number of cases that differ and the first few of them; exit status 1 if there are any."""
import argparse
import json
import os
import random
import subprocess
import sys

PROSE = [
    "The quick brown fox jumps over the lazy dog; it's 12:30 and we've paid $1,234.56 (don't ask!).",
    "Größere Übungen für Ärzte: naïve façade, coöperate, Straße, ŒUVRE, ſs, İstanbul, ǅ.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Їжак й ґанок.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. ἐν ἀρχῇ ἦν ὁ λόγος",
    "中文分词测试，今天天气很好。我们去公园散步吧！漢字與假名。",
    "日本語のテキストです。カタカナ・ひらがな、漢字ー混在〜テスト。ﾊﾝｶｸ",
    "한국어 문장입니다. 띄어쓰기가 있습니다. ㄱㄴㄷ 각",
    "مرحبا بالعالم، كيف حالك؟ ١٢٣٤ لُغَة",
    "שלום עולם, מה שלומך? בְּרֵאשִׁית",
    "नमस्ते दुनिया, यह एक परीक्षण है। १२३ क्षत्रिय",
    "สวัสดีชาวโลก ภาษาไทยไม่มีช่องว่าง ๑๒๓",
    "Xin chào thế giới! Tiếng Việt có dấu: ộ ữ ẵ.",
    "বাংলা ভাষা தமிழ் மொழி ಕನ್ನಡ తెలుగు മലയാളം ગુજરાતી",
    "ქართული ენა, Հայերեն լեզու, አማርኛ ቋንቋ, ខ្មែរ, မြန်မာ, ᠮᠣᠩᠭᠣᠯ, བོད་",
    "😀👍🏽👩‍👩‍👧‍👦🇩🇪🏳️‍🌈 emoji ❤️ ☎️ 1️⃣ test👨🏿‍🚀",
    "int main(void) {\n\tfor (size_t i = 0; i < n; ++i) {\n\t\tprintf(\"%d\\n\", a[i]);\n\t}\n}\n",
    "def f(x):\n    return {'a': [1, 2, 3], **x}  # comment\r\n\r\n\n\n    if x != 0x1F: pass\n",
    "<html><body class=\"x\">&nbsp;</body></html> https://example.com/a/b?c=d&e=f#g user@mail.org",
    "SELECT * FROM t WHERE a>=10 AND b LIKE '%x%'; -- 3.14159e-10 1000000 007",
    "I'LL we'Re YOU'D they'VE it'S 'tis ''quoted'' l'été aujourd'hui O'Neill's 'ſ",
    "camelCaseWordsHTTPServerXMLParser ALLCAPS MixedCASE iPhone eBay McDonald ΑΒΓαβγ ЖЗИжзи",
    "x² + y³ = ½ ∑∫√π ≠ ∞ ₁₂ Ⅷ ① ㈱ ﬁ ﬂ Å Å ℌ",
]
SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", " \n", "\n ", "\t\t", "\u00a0", "\u3000", "\u2003",
          "\u200b", "\u2028", "\u0085", "\ufeff", "\v", "\f", " " * 17, "\n" * 5, "\u1680", "\u202f", "\u180e"]
PIECES = ["'s", "'T", "'re", "'LL", "’s", "1", "12", "123", "1234", "a", "A", "é", "e\u0301", "\u0301", "ß", "ñ", "▁",
          "▁▁", "Ġ", "Ċ", "<", ">", "|", "/", "//", "...", "!!", "—", "中", "ー", "・", "の", "\u0000", "\u0001", "\u001f",
          "\u007f", "\ufffd", "\ue000", "\U0010ffff", "<0x0A>", "<0x", "\u094d", "\u200d", "ǅ", "ʰ", "ª", "ⅷ", "Ⓐ",
          "\u1e9e", "\u212b", "\u0958", "\u0fb2\u0f80", "\uac00\u11a8", "\u1100\u1161", "aaaa", "ZZZ", "_", "-", "'"]


def random_character(rng):
    kind = rng.random()
    top = 0x80 if kind < 0.3 else 0x250 if kind < 0.45 else 0x3000 if kind < 0.7 else 0x10000 if kind < 0.9 else 0x110000
    while True:
        c = rng.randrange(top)
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def random_text(rng, special):
    kind = rng.random()
    if kind < 0.15:
        line = rng.choice(PROSE)
        a = rng.randrange(len(line))
        return line[a : a + rng.randrange(1, 80)]
    parts = []
    for _ in range(rng.randrange(1, rng.choice((4, 12, 40)))):
        k = rng.random()
        if k < 0.25:
            words = rng.choice(PROSE).split(" ")
            parts.append(rng.choice(words))
        elif k < 0.5:
            parts.append(rng.choice(SPACES) if rng.random() < 0.5 else " ")
        elif k < 0.75:
            parts.append(rng.choice(PIECES))
        elif k < 0.78 and special:
            parts.append(rng.choice(special))
        else:
            parts.append("".join(random_character(rng) for _ in range(rng.randrange(1, 5))))
    return "".join(parts)


def load_reference(path):
    if path.endswith(".gguf"):
        from gguf import GGUFReader
        from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
        from transformers import AutoTokenizer

        auto = AutoTokenizer.from_pretrained(os.path.dirname(path), gguf_file=os.path.basename(path))
        reference = auto.backend_tokenizer
        if GGUFReader(path).fields["tokenizer.ggml.pre"].contents() == "smollm":
            # The model's own tokenizer.json has digits one by one; the conversion from GGUF leaves that out.
            reference.pre_tokenizer = Sequence([Digits(True), ByteLevel(False)])
        return reference
    from tokenizers import Tokenizer

    return Tokenizer.from_file(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("tokenizer")
    parser.add_argument("--reference")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    reference = load_reference(args.reference or args.tokenizer)
    reference.no_padding()
    reference.no_truncation()
    special = [t.content for t in reference.get_added_tokens_decoder().values()]
    cases = PROSE + [p + s + q for p in PROSE[:4] for s in SPACES for q in PROSE[4:6]]
    cases += [random_text(rng, special) for _ in range(args.cases)]
    questions, answers = [], []
    for text in cases:
        special_on, skip = rng.random() < 0.5, rng.random() < 0.5
        ids = reference.encode(text, add_special_tokens=special_on).ids
        questions.append(json.dumps({"text": text, "special": special_on}))
        answers.append(ids)
        questions.append(json.dumps({"ids": ids, "skip_special": skip}))
        answers.append(reference.decode(ids, skip_special_tokens=skip))
        if rng.random() < 0.1:
            reference.encode_special_tokens = True
            questions.append(json.dumps({"text": text, "plain": True}))
            answers.append(reference.encode(text, add_special_tokens=False).ids)
            reference.encode_special_tokens = False
    run = subprocess.run([args.bench, args.tokenizer, "--lines"], input="\n".join(questions) + "\n",
                         stdout=subprocess.PIPE, text=True, encoding="utf-8")
    lines = run.stdout.split("\n")
    if run.returncode or len(lines) != len(questions) + 1:
        sys.exit("the tokenizer stopped after %d of %d cases, status %d" % (len(lines) - 1, len(cases), run.returncode))
    wrong = 0
    for question, want, line in zip(questions, answers, lines):
        if json.loads(line) != want:
            wrong += 1
            if wrong <= 5:
                print("differs:", question[:600], "\n  want", str(want)[:500], "\n  got ", line[:500])
    print("%s: %d of %d answers differ" % (args.tokenizer, wrong, len(questions)))
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
