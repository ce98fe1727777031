# Programs that make, split and drive terminals.
set -u
export TERM=xterm HOME=/tmp/home; mkdir -p $HOME; cd $HOME
script -qec 'tty | cut -c1-9; stty size; echo from script' /tmp/typescript < /dev/null | tr -d '\r' | grep -v '^$'
script -qefc 'exit 7' /dev/null < /dev/null; echo "script $?"
tmux -L t -f /dev/null new-session -d -x 80 -y 24 'exec bash --norc'
tmux -L t send-keys 'PS1="$ "; clear; stty size; echo in""side' Enter
for i in $(seq 100); do tmux -L t capture-pane -p | grep -q '^inside' && break; sleep 0.1; done
tmux -L t capture-pane -p | grep -E '^(24 80|inside)'
tmux -L t split-window 'exec bash --norc'; tmux -L t list-panes | wc -l
tmux -L t resize-window -x 100 -y 30; tmux -L t display-message -p '#{window_width}x#{window_height}'
tmux -L t send-keys 'PS1="$ "; clear; sleep 100' Enter; sleep 0.3; tmux -L t send-keys C-c
tmux -L t send-keys 'echo status $?' Enter
for i in $(seq 100); do tmux -L t capture-pane -p | grep -q '^status 130' && break; sleep 0.1; done
tmux -L t capture-pane -p | grep '^status'
tmux -L t kill-server; sleep 0.5; tmux -L t list-sessions > /dev/null 2>&1; echo "sessions $?"; pgrep -fc "bash --norc"
mkdir -p $HOME/.screen; chmod 700 $HOME/.screen; export SCREENDIR=$HOME/.screen
screen -dmS s bash --norc
for i in $(seq 100); do screen -ls 2>/dev/null | grep -q '\.s' && break; sleep 0.1; done
screen -S s -X stuff $'echo to-screen > /tmp/screened\n'
for i in $(seq 100); do [ -s /tmp/screened ] && break; sleep 0.1; done; cat /tmp/screened
screen -S s -X quit; sleep 0.3; screen -ls | grep -c '\.s'
cat > /tmp/e.exp <<'X'
set timeout 20
log_user 0
spawn bash --norc
expect -re {[$#] }
send "stty size; echo expec\"\"ted\r"
expect "\nexpected\r" { puts "expect saw it" }
send "sleep 100\r"
sleep 0.3
send "\003"
send "echo code \$?\r"
expect -re {code (\d+)\r} { puts "code $expect_out(1,string)" }
send "exit 4\r"
expect eof
puts "wait [lindex [wait] 3]"
spawn python3 -c {import getpass; print("got", getpass.getpass("word: "))}
expect "word: "
send "hidden\r"
expect "got hidden" { puts "password read" }
expect eof
X
expect /tmp/e.exp
printf 'one\ntwo\nthree\n' > /tmp/lines
cat > /tmp/vim.exp <<'X'
set timeout 20
log_user 0
spawn vim.tiny -u NONE /tmp/lines
expect "three"
send ":2d\r:s/one/uno/\r"
send ":1\ryyp:wq\r"
expect eof
spawn less /tmp/lines
expect -re "END|uno"
send "/three\r"
send "q"
expect eof
spawn top -d 1
expect "load average"
send "q"
expect eof
puts "top left"
X
expect /tmp/vim.exp; cat /tmp/lines
python3 - <<'P'
import os, pty, signal, struct, fcntl, termios, time
pid, master = pty.fork()
if pid == 0:
    signal.signal(signal.SIGWINCH, lambda *_: os.write(1, b"resized\n"))
    os.write(1, b"ready\n")
    while True: time.sleep(0.05)
seen = b""
while b"ready" not in seen: seen += os.read(master, 100)
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
while b"resized" not in seen: seen += os.read(master, 100)
print("window change seen", struct.unpack("HHHH", fcntl.ioctl(master, termios.TIOCGWINSZ, bytes(8)))[:2])
os.close(master)
print("hangup", os.WTERMSIG(os.waitpid(pid, 0)[1]))
P
