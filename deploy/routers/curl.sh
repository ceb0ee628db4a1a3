#!/bin/sh
# Asks openseat about one queue, for scripts and programs that can run a command. Needs only curl.
#
#   curl.sh sales-queue && echo "send the call"
#
# Request:          GET /v1/queues/{queue}/decision?format=text
# Answer:           exit code 0 for accept, 1 for reject
# Timeout:          500 ms for everything
# Without answer:   exit code 2, and curl's message. A caller that tests for success then rejects the call.
#
# OPENSEAT_URL is openseat's address. The queue's name is percent-encoded: Retention%20%26%20Win-back.
set -u
queue=${1:?usage: curl.sh QUEUE}
url=${OPENSEAT_URL:-http://127.0.0.1:7717}

# openseat answers from memory within a millisecond. If it takes longer, it hangs.
# With a token, add --header @FILE, where the file has the line "Authorization: Bearer …": arguments are visible to everyone on the machine.
answer=$(curl --silent --show-error --fail --max-time 0.5 "$url/v1/queues/$queue/decision?format=text") || exit 2

case $answer in
accept) exit 0 ;;
reject) exit 1 ;;
*) exit 2 ;;
esac
