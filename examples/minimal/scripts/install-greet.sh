#!/usr/bin/env bash
# Installs the command greet: prints the word of /usr/share/greeting and its argument.
set -Eeuo pipefail

cat > /usr/local/bin/greet <<'EOF'
#!/bin/sh
echo "$(cat /usr/share/greeting/word) $1"
EOF
chmod 755 /usr/local/bin/greet
