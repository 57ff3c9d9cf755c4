#!/usr/bin/env bash
# setup-package.sh GCC_VERSION VULKAN_VERSION: makes the payload part of the runtime image. Runs on the target.
set -Eeuo pipefail

gcc=/opt/gcc-$1 llvm=/usr/local/llvm-target

# The names by which everybody calls the compilers, over /etc/alternatives as an administrator would expect.
alternative() {
    update-alternatives --quiet --log /dev/null --install "/usr/bin/$1" "$1" "$2" "$3"
    update-alternatives --quiet --log /dev/null --set "$1" "$2"
}
for name in gcc g++ gcov cpp; do
    alternative "$name" "$gcc/bin/$name" 150
done
alternative cc "$gcc/bin/gcc" 150
alternative c++ "$gcc/bin/g++" 150
for name in clang clang++ llvm-ar llvm-ranlib ld.lld; do
    alternative "$name" "$llvm/bin/$name" 120
done

vulkan=(/opt/vulkan/"$2"/*)
ln -sT "${vulkan[0]#/opt/vulkan/}" /opt/vulkan/active

# Programs that are linked here find the libraries of the prefixes without a word.
for prefix in /usr/local/lib/onnxruntime-cpu /opt/ffmpeg /opt/gstreamer /opt/libcamera /opt/vulkan/active "$llvm"; do
    [[ ! -d $prefix/lib ]] || echo "$prefix/lib"
done >/etc/ld.so.conf.d/000-payload.conf
ldconfig
rm -f /var/cache/ldconfig/aux-cache
