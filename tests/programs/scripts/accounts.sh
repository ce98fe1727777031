# su, sudo -n, useradd and the passwd family, as root.
useradd -m -s /bin/bash -u 2000 alice; echo "useradd $?"
id alice; ls -ld /home/alice | awk '{print $1,$3,$4}'; ls -A /home/alice
su alice -c 'id; pwd; touch ~/mine; cat /etc/shadow' 2>&1
su - alice -c 'echo $HOME $USER $SHELL; stat -c "%U %G" ~/mine'
su -s /bin/sh nobody -c 'id -un; echo x > /root/x' 2>&1
groupadd -g 3000 team && usermod -aG team alice && id -nG alice
su alice -c 'id -G'
echo alice:secret | chpasswd; echo "chpasswd $?"; grep -c '^alice:\$' /etc/shadow
su alice -c 'echo secret | su alice -c "echo authenticated"' 2>/dev/null; echo "su $?"
su alice -c 'echo wrong | su -c id' > /dev/null 2>&1; echo "wrong $?"
passwd -l alice > /dev/null; passwd -S alice | awk '{print $1,$2}'
sudo -n id; sudo -n -u dev id; sudo -n -u alice sh -c 'echo $SUDO_USER; id -un'
su dev -c 'sudo -n id -u; sudo -n cat /etc/shadow | wc -l | tr 0-9 N'
su alice -c 'sudo -n id' > /dev/null 2>&1; echo "no sudo $?"
runuser -u dev -- id -un; setpriv --reuid=1000 --regid=1000 --clear-groups id
chage -l alice | head -1 | cut -c1-20; getent passwd alice; userdel -r alice 2>/dev/null; echo "userdel $?"; ls /home
su dev -c 'ls -l /usr/bin/sudo | cut -c1-10; cat /proc/self/status | grep -E "^(Uid|Gid|Groups|NoNewPrivs)"'
capsh --print 2>/dev/null | grep Current
