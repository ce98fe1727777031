# sshd and ssh in one pod: keys, sessions with and without a terminal, forwarding, copies.
set -u
mkdir -p /run/sshd ~/.ssh; chmod 700 ~/.ssh
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519; ssh-keygen -q -t rsa -b 2048 -N secret -f /tmp/rsa
cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys; ssh-keygen -l -f ~/.ssh/id_ed25519.pub | awk '{print $1, $4}'
ssh-keygen -q -t ed25519 -N '' -f /tmp/hostkey
/usr/sbin/sshd -h /tmp/hostkey -o Port=2222 -o ListenAddress=127.0.0.1 -o PidFile=/tmp/sshd.pid -o UsePAM=no -E /tmp/sshd.log
opts="-q -p 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes"
for i in $(seq 100); do ssh $opts localhost true && break; sleep 0.1; done
ssh $opts localhost 'id -un; echo $SSH_CONNECTION | cut -d" " -f1,3,4; tty; exit 3'; echo "status $?"
ssh $opts -tt localhost 'stty size; test -t 0 && echo terminal; tty | cut -c1-9' < /dev/null | tr -d '\r'
echo piped | ssh $opts localhost 'cat | tr a-z A-Z'
head -c 3000000 /dev/zero | ssh $opts localhost 'wc -c'
ssh $opts dev@localhost true; echo "other user $?"
mkdir -p /tmp/from/sub; echo one > /tmp/from/one; echo two > /tmp/from/sub/two; chmod 640 /tmp/from/one
scp -q -P 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -r localhost:/tmp/from /tmp/to; cat /tmp/to/one /tmp/to/sub/two
rsync -a -e "ssh $opts" localhost:/tmp/from/ /tmp/synced/; stat -c '%a %n' /tmp/synced/one
ssh $opts -f -N -L 127.0.0.1:2300:127.0.0.1:2222 localhost
for i in $(seq 50); do ssh -q -p 2300 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes localhost echo forwarded && break; sleep 0.1; done
eval "$(ssh-agent)" > /dev/null; ssh-add -q ~/.ssh/id_ed25519 2>&1; ssh-add -l | awk '{print $1, $4}'; ssh-agent -k > /dev/null
grep -c 'Accepted publickey' /tmp/sshd.log | grep -c '[1-9]'
pkill -f 'ssh -q -p 2222 .*-N'; kill "$(cat /tmp/sshd.pid)"; sleep 0.2; ssh $opts localhost true; echo "stopped $?"
