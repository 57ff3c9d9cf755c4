#!/usr/bin/env bash
# smoke-compilers.sh ARCH GCC_VERSION LLVM_RELEASE: the compilers of the image are the target's own, have the versions that
# are advertised, and what they build runs.
set -Eeuo pipefail

arch=$1 gcc=/opt/gcc-$2 llvm=/usr/local/llvm-target
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

die() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

expect() {
    [[ $2 == "$3" ]] || die "$1 is '$2', expected '$3'"
    echo "$1: $2"
}

for pair in cc:gcc c++:g++; do
    expect "/usr/bin/${pair%:*}" "$(readlink "/usr/bin/${pair%:*}")" "/etc/alternatives/${pair%:*}"
    expect "/etc/alternatives/${pair%:*}" "$(readlink "/etc/alternatives/${pair%:*}")" "$gcc/bin/${pair#*:}"
done
expect /usr/bin/clang "$(readlink /usr/bin/clang)" /etc/alternatives/clang
expect /etc/alternatives/clang "$(readlink /etc/alternatives/clang)" "$llvm/bin/clang"
expect 'GCC' "$(cc -dumpfullversion)" "$2"
expect 'clang' "$(clang -dumpversion)" "$3"

python3 -B /run/compiler_guard.py "$arch" /usr/bin/cc /usr/bin/c++ /usr/bin/clang /usr/bin/clang++

cat >"$work/probe.cc" <<'CXX'
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
int main() {
    int sum = 0;
    std::thread([&] { sum = 3; }).join();
    try {
        throw std::runtime_error("sum " + std::to_string(sum));
    } catch (const std::exception &error) {
        std::cout << error.what() << std::endl;
    }
}
CXX
for compiler in c++ clang++; do
    "$compiler" -O2 "$work/probe.cc" -o "$work/probe"
    expect "a program of $compiler" "$("$work/probe")" 'sum 3'
done
