# git over a tree of 10,000 files.
cd /tmp
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git config --global user.name dev; git config --global user.email dev@example.org; git config --global init.defaultBranch main; git config --global gc.auto 0
git init -q tree && cd tree
for d in $(seq 1 100); do mkdir $d; for f in $(seq 1 100); do echo "file $d/$f" > $d/$f; done; done
git add . && git commit -q -m 'ten thousand' && git log --format='%H %s'
git ls-files | wc -l; git status --short | wc -l
echo change >> 5/5; git mv 7/7 7/moved; git rm -q 9/9; chmod +x 3/3; git status --short; git commit -q -a -m second
git diff --stat HEAD~1 | tail -1; git fsck --no-dangling 2>&1 | grep -v Checking; git gc -q; git count-objects | cut -d, -f1
cd .. && git clone -q tree copy && cd copy && git log --oneline | wc -l && find . -path ./.git -prune -o -type f -print | wc -l
git checkout -q -b branch HEAD~1 && ls 9/9 && git checkout -q main && ls 9/9 2>&1
git clone -q --no-local ../tree ../copy2 && git -C ../copy2 rev-parse HEAD
git stash list; git grep -c 'file 5/5$' | tail -1; git archive HEAD | tar -t | wc -l
git bisect start -q HEAD HEAD~1 2>&1 | tail -1 | cut -c1-30; git -c core.pager=cat log -1 --stat | tail -1
