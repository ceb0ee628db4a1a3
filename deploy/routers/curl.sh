#!/bin/sh
# Asks openseat about one queue, for scripts and for whatever can run a command. Needs curl and nothing else.
#
#   curl.sh sales-queue && echo "send the call"
#
# The question:     GET /v1/queues/{queue}/decision?format=text
# The answer:       exit code 0 for accept, 1 for reject
# Time-out:         500 ms for everything
# Without answers:  exit code 2, and curl's complaint. Callers that test for success reject the call then.
#
# OPENSEAT_URL is where openseat answers. A name is percent-encoded: Retention%20%26%20Win-back.
set -u
queue=${1:?usage: curl.sh QUEUE}
url=${OPENSEAT_URL:-http://127.0.0.1:7717}

# openseat answers from memory within a millisecond. Who waits longer waits for a process that hangs.
# With a token: --header @FILE, where the file has the line "Authorization: Bearer …"; a token in the arguments is for all to see.
answer=$(curl --silent --show-error --fail --max-time 0.5 "$url/v1/queues/$queue/decision?format=text") || exit 2

case $answer in
accept) exit 0 ;;
reject) exit 1 ;;
*) exit 2 ;;
esac
