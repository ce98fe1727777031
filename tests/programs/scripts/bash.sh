# Pipes, substitutions, traps and jobs of bash.
set -u
cd /tmp
echo "one two three" | tr ' ' '\n' | sort | tee words | wc -l
cat <<END
here $((6 * 7))
END
diff <(seq 1 5) <(seq 2 6); echo "diff $?"
mapfile -t lines < <(printf '%s\n' a b c); echo "${#lines[@]} ${lines[*]}"
( exit 7 ); echo "subshell $?"
false | true; echo "status ${PIPESTATUS[*]}"
trap 'echo trapped USR1' USR1
kill -USR1 $$
trap 'echo leaving' EXIT
set -m
sleep 100 &
job=$!
jobs %1 | sed 's/  */ /g'
kill -STOP $job; sleep 0.2; jobs %1 | sed 's/  */ /g'
kill -CONT $job; sleep 0.1; kill %1; wait $job 2>/dev/null; echo "killed $?"
set +m
coproc CAT { cat; }
echo through coprocess >&"${CAT[1]}"; read -r line <&"${CAT[0]}"; echo "$line"
eval "exec ${CAT[1]}>&-"; wait
read -r -t 0.1 nothing < <(sleep 1); echo "timeout $?"
for i in $(seq 1 200); do (exit $((i % 3))) & done; wait; echo all children
bash -c 'kill -SEGV $$' 2>/dev/null; echo "segv $?"
bash -c 'ulimit -n 64; ulimit -n; ulimit -Hn'
exec 9> lock; flock 9 && echo locked
echo abc > file; exec 8< file; read -r -u 8 word; echo "$word"; exec 8<&-
printf 'null\0separated\0' | xargs -0 -n1 echo
[ -t 0 ]; echo "tty $?"
echo $BASHPID | grep -c '^[0-9]*$'
type -t nosuchcommand; nosuchcommand 2>/dev/null; echo "missing $?"
/etc/passwd 2>/dev/null; echo "not executable $?"
umask 027; touch u; stat -c %a u; umask
echo {1..5} "${BASH_VERSINFO[0]}" "$((2 ** 40))"
yes | head -100000 | md5sum
seq 1 100000 | sort -R --random-source=/etc/passwd | sort -n | md5sum
