#!/bin/bash
# Succeeds when the server greets: a listener whose server hangs does not.
set -eu
exec 3<>/dev/tcp/127.0.0.1/2811
read -r -t 4 greeting <&3
[[ $greeting == 220* ]]
