# What ps, free, top and ip see.
sleep 1000 & sleep 1001 &
until [ "$(ps -C sleep -o stat= | grep -c "^S")" = 2 ]; do :; done # both execute their program by now
ps -eo ppid,uid,stat,args --no-headers > /tmp/ps; grep -v ' ps ' /tmp/ps | sed 's/  */ /g'
ps aux | head -1; ps -p 1 -o comm=; pgrep -x sleep | wc -l; pidof sleep | wc -w
pkill -f 'sleep 1001'; wait %2 2>/dev/null; pgrep -fx 'sleep 1000' | wc -l
top -b -n 1 | grep -c sleep; free | awk 'NR==1{print $1,$2,$3}'; uptime | grep -c load; vmstat | wc -l
cat /proc/1/comm; tr '\0' ' ' < /proc/$(pgrep -x sleep)/cmdline; echo; readlink /proc/$$/cwd /proc/$$/exe /proc/self/root
ls /proc/$$/fd | head -3 | tr '\n' ' '; echo; ls /proc/self/task | wc -l
grep -E '^(Name|State|Tgid|PPid|Uid|Gid|Threads)' /proc/self/status | sed 's/\t[0-9]*$/ N/'
awk '{print NF}' /proc/self/stat; wc -w < /proc/self/statm; head -1 /proc/self/maps | grep -c cat\\\|head
grep -c processor /proc/cpuinfo | grep -c '[1-9]'; grep -E '^(MemTotal|SwapTotal)' /proc/meminfo | awk '{print $1}'
awk '$5=="/" || $5=="/proc" || $5=="/tmp" || $5=="/dev/pts" {print $5}' /proc/self/mountinfo; awk '{print $2}' /proc/mounts | head -8
mount | grep -c ' on /proc type proc'; findmnt -n -o FSTYPE /tmp; df /tmp | tail -1 | awk '{print $6}'
cat /proc/sys/kernel/hostname /proc/sys/kernel/ostype; cat /proc/sys/kernel/pid_max | grep -c '[0-9]'; sysctl -n kernel.ostype
echo 1 > /proc/sys/kernel/panic 2>/dev/null; echo "sysctl $?"; cat /proc/kcore 2>/dev/null | head -c 10 | wc -c
cat /proc/self/oom_score_adj; echo 500 > /proc/self/oom_score_adj; echo "oom $?"
ip -o addr show lo | awk '{print $2,$4}'; ip route | wc -l; ss -tln | wc -l; cat /proc/net/dev | grep -c lo:
ls /sys/class/net; cat /proc/self/cgroup | wc -l | grep -c '[1-9]'; cat /proc/self/limits | grep 'open files' | sed 's/  */ /g'
cat /proc/filesystems | grep -c tmpfs; cat /proc/version | cut -d' ' -f1; ls -l /proc/self/ns/pid | grep -c 'pid:'
lsof -v > /dev/null 2>&1; kill %1; who | wc -l; w -h | wc -l; dmesg > /dev/null 2>&1; echo "dmesg $?"
ipcmk -M 4096 -p 0640 | cut -d: -f1; ipcmk -S 2 | cut -d: -f1; ipcmk -Q | cut -d: -f1
for kind in m s q; do ipcs -$kind | awk 'NF>4{$1=$2="";print}'; done
