# vmetal.  `make serve` is all a newcomer needs; every target installs what it is missing.
MODEL  ?= SmolLM2-135M-Instruct
PORT   ?= 8000
ARGS   ?=
PREFIX ?= /usr/local
BUILD  ?= build

.PHONY: all build serve demo check test bench install clean deps test-deps tidy
all: build

deps:
	@scripts/install-deps.sh build
test-deps:
	@scripts/install-deps.sh test

build: deps
	@scripts/build.sh $(BUILD) Release

# Builds, fetches the default model if it is not there, and serves it on 127.0.0.1.
serve: build
	@exec $(BUILD)/vmetal serve $(MODEL) --port $(PORT) $(ARGS)

# The same, one question, the streamed answer, and out.
demo: build
	@scripts/demo.sh $(BUILD)/vmetal $(MODEL)

# Unit tests alone: under a minute.
check: test-deps
	@scripts/build.sh $(BUILD) Release tests
	@ctest --test-dir $(BUILD) --output-on-failure -j 2

# Everything; ends with one line `N passed, N failed, N skipped`.
test: test-deps
	@python3 tests/run.py

bench: build
	@python3 bench/run.py

tidy:
	@python3 tools/tidy

install: build
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(BUILD)/vmetal $(DESTDIR)$(PREFIX)/bin/vmetal
	install -m 644 docs/vmetal.1 $(DESTDIR)$(PREFIX)/share/man/man1/vmetal.1

clean:
	rm -rf build build-*
