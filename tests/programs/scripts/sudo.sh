# An ordinary user who may sudo.
id; sudo -n id; sudo -n whoami; sudo -n -u nobody id
sudo -n sh -c 'echo written > /root/by-sudo; stat -c %U /root/by-sudo; cat /root/by-sudo'
cat /root/by-sudo 2>&1
sudo -n -l | grep -o 'NOPASSWD: ALL'; sudo -n bash -c 'exit 12'; echo "status $?"
sudo -n kill -0 1; echo "kill $?"; kill -0 1 2>/dev/null; echo "kill $?"
sudo -n chown 5:6 /tmp/none 2>&1; touch /tmp/f; sudo -n chown 5:6 /tmp/f; stat -c '%u %g' /tmp/f; rm -f /tmp/f; echo "rm $?"
seq 1 20 | while read -r i; do sudo -n true || echo "failed $i"; done; echo twenty
grep -E '^Cap(Prm|Eff)' /proc/self/status; sudo -n grep -E '^Cap(Prm|Eff)' /proc/self/status
passwd -S | awk '{print $1,$2}'; su -c id < /dev/null > /dev/null 2>&1; echo "su $?"
