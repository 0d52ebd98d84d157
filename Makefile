# A thin front for developers: the work is done by Meson, Ninja and the scripts.
# A machine without make has script/run and script/test.

RELEASE = -Dbuildtype=release -Ddebug=true -Dwerror=true
ASAN    = -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false -Dfuzz=true -Dwerror=true
TSAN    = -Dbuildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false -Dwerror=true
CLANG  ?= clang
PYTEST  = V2SP_BIN=$(CURDIR)/build/v2sp /usr/bin/python3 -m pytest -q -p no:cacheprovider

# `make bench vless-raw vless-tls`: the words after bench are cases, not goals.
ifeq (bench,$(firstword $(MAKECMDGOALS)))
CASE ?= $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
$(CASE):
	@:
endif

.PHONY: all check test lint asan tsan fuzz interop e2e bench format install clean help

all: ## build build/v2sp
	@script/build build $(RELEASE) v2sp

check: all ## build and run the unit tests
	meson test -C build --print-errorlogs

test: ## everything script/test runs
	script/test

lint: all ## layers, symbols, sizes, banned functions, formatting
	/usr/bin/python3 tools/lint.py --build build

asan: ## unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	CC=$(CLANG) script/build build-asan $(ASAN) unit-tests
	tools/sanitize meson test -C build-asan --print-errorlogs

tsan: ## unit tests under ThreadSanitizer
	CC=$(CLANG) script/build build-tsan $(TSAN) unit-tests
	tools/sanitize meson test -C build-tsan --print-errorlogs

fuzz: ## run one fuzz target until it finds something: make fuzz T=ws_frame_fuzz
	CC=$(CLANG) script/build build-asan $(ASAN) fuzzers
	/usr/bin/python3 tools/fuzz.py --build build-asan $(if $(T),--forever $(T),--list)

interop: all ## the real Xray-core and sing-box against build/v2sp
	tests/peers/install
	$(PYTEST) tests/interop

e2e: all ## the binary against the embedded panel and a misbehaving one
	tests/peers/install
	$(PYTEST) tests/e2e

bench: all ## v2sp, Xray-core and sing-box side by side: make bench [CASE ...]
	script/setup bench
	tests/peers/install
	bench/run $(CASE)

format: ## rewrite the C files in the house style
	/usr/bin/python3 tools/lint.py --format

install: all ## install the binary, the manual page and the systemd unit
	meson install -C build --no-rebuild

clean: ## remove the build folders
	rm -rf build build-asan build-tsan

help: ## this list
	@sed -n 's/^\([a-z0-9]*\):[^#]*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20
