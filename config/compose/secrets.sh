#!/bin/sh
# Make the passwords that config/compose.yml hands out as files, once: what is there already stays.
# Only the folder is closed to others: inside the containers users of other numbers read the files.
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
umask 022

random() {
    head -c 24 /dev/urandom | od -A n -t x1 | tr -d ' \n'
}

for name in postgres_password control_password grafana_password; do
    [ -s "$folder/$name" ] || random >"$folder/$name"
done
[ -s "$folder/control_dsn" ] ||
    echo "postgresql://pgsoftproxy:$(cat "$folder/control_password")@postgres:5432/app" >"$folder/control_dsn"
