#!/bin/sh
# Installs polykit-cache from the folder this script lies in, or takes it away again. Needs no network, and nothing but
# what every Linux has. Run it again with a newer version: settings and artifacts stay.
set -eu

usage() {
  cat <<'TEXT'
usage: install.sh [--prefix DIR] [--destdir DIR] [--uninstall]

  --prefix DIR    where to install, /usr/local if not given
  --destdir DIR   put everything below DIR instead of /, for building packages and images
  --uninstall     take away what was installed; artifacts, changed settings and the user polykit stay

As root: the program, its manual pages, completions for bash, zsh and fish, systemd units, the user
polykit, /var/cache/polykit and /etc/polykit-cache/polykit-cache.yaml. As anybody else: the program,
manual pages and completions only.
TEXT
}

die() {
  echo "install.sh: $*" >&2
  exit 1
}

misuse() {
  echo "install.sh: $*" >&2
  usage >&2
  exit 64
}

prefix=/usr/local
destdir=
action=install
while [ $# -gt 0 ]; do
  case $1 in
    --prefix | --destdir)
      [ $# -ge 2 ] || misuse "$1 needs a directory"
      case $1 in
        --prefix) prefix=$2 ;;
        *) destdir=$2 ;;
      esac
      shift 2
      ;;
    --prefix=*) prefix=${1#*=} && shift ;;
    --destdir=*) destdir=${1#*=} && shift ;;
    --uninstall) action=uninstall && shift ;;
    -h | --help) usage && exit 0 ;;
    *) misuse "unknown argument $1" ;;
  esac
done
prefix=${prefix%/}
case $prefix in
  *[!A-Za-z0-9/._+@-]*) misuse "--prefix may have letters, digits and / . _ + @ - only" ;;
  /*) ;;
  *) misuse "--prefix must be an absolute path" ;;
esac
case $destdir in
  '' | /*) destdir=${destdir%/} ;;
  *) destdir=$PWD/${destdir%/} ;;
esac

here=$(cd "$(dirname "$0")" && pwd)
etc=/etc/polykit-cache
data=/var/cache/polykit
page1=share/man/man1/polykit-cache.1
page5=share/man/man5/polykit-cache.yaml.5
# Where each shell looks below /usr, /usr/local and, but for zsh, ~/.local.
bash=share/bash-completion/completions/polykit-cache
zsh=share/zsh/site-functions/_polykit-cache
fish=share/fish/vendor_completions.d/polykit-cache.fish
# systemd looks below these two prefixes; everything else must go to /etc.
case $prefix in
  /usr | /usr/local) units=$prefix/lib ;;
  *) units=/etc ;;
esac
whole=yes # the service too, not only the program
if [ -z "$destdir" ] && [ "$(id -u)" -ne 0 ]; then
  whole=no
fi

# put <mode> <target>: standard input becomes the file, in one step, so that a running server keeps its own.
put() {
  mkdir -p "$destdir$(dirname "$2")"
  cat >"$destdir$2.new"
  chmod "$1" "$destdir$2.new"
  mv -f "$destdir$2.new" "$destdir$2"
}

# The sample as it is installed: the one setting that the service needs is in force.
settings() {
  sed "s|^#storage_dir:.*|storage_dir: $data|" "$here/polykit-cache.yaml"
}

systemd_runs() {
  [ -z "$destdir" ] && [ -d /run/systemd/system ]
}

make_user() {
  if getent passwd polykit >/dev/null 2>&1; then
    return
  fi
  if command -v systemd-sysusers >/dev/null 2>&1; then
    systemd-sysusers "$units/sysusers.d/polykit-cache.conf"
  elif command -v useradd >/dev/null 2>&1; then
    useradd --system --user-group --no-create-home --home-dir "$data" --shell /usr/sbin/nologin polykit
  elif command -v adduser >/dev/null 2>&1; then # busybox
    adduser -S -D -H -h "$data" -s /sbin/nologin polykit
  else
    echo "install.sh: make the system user and group polykit yourself; I found no tool for that" >&2
  fi
}

install_service() {
  for file in "$here"/systemd/*.service "$here"/systemd/*.socket "$here"/systemd/*.timer; do
    sed "s|/usr/bin/polykit-cache|$prefix/bin/polykit-cache|" "$file" | put 644 "$units/systemd/system/${file##*/}"
  done
  put 644 "$units/sysusers.d/polykit-cache.conf" <"$here/systemd/polykit-cache.sysusers"
  put 644 "$units/tmpfiles.d/polykit-cache.conf" <"$here/systemd/polykit-cache.tmpfiles"
  if [ ! -e "$destdir$etc/polykit-cache.yaml" ]; then
    settings | put 644 "$etc/polykit-cache.yaml"
  fi
  if [ -n "$destdir" ]; then
    return
  fi
  make_user
  if [ ! -d "$data" ] && getent passwd polykit >/dev/null 2>&1; then
    mkdir -p "$data"
    chmod 750 "$data"
    chown polykit: "$data"
  fi
  if systemd_runs; then
    systemctl daemon-reload
  fi
}

install_all() {
  # A name in the list and no file, or a file that was changed on the way, stops us before anything is touched.
  (cd "$here" && sha256sum -c SHA256SUMS >/dev/null) || die "this folder is not what was published; unpack it again"
  put 755 "$prefix/bin/polykit-cache" <"$here/polykit-cache"
  put 644 "$prefix/$page1" <"$here/polykit-cache.1"
  put 644 "$prefix/$page5" <"$here/polykit-cache.yaml.5"
  put 644 "$prefix/$bash" <"$here/completions/polykit-cache.bash"
  put 644 "$prefix/$zsh" <"$here/completions/polykit-cache.zsh"
  put 644 "$prefix/$fish" <"$here/completions/polykit-cache.fish"
  put 644 "$prefix/share/doc/polykit-cache/README.md" <"$here/README.md"
  put 644 "$prefix/share/doc/polykit-cache/polykit-cache.yaml" <"$here/polykit-cache.yaml"
  for file in "$here"/licenses/* "$here"/licenses/common-licenses/* "$here"/migration/*; do
    [ -f "$file" ] || continue
    put 644 "$prefix/share/doc/polykit-cache/${file#"$here/"}" <"$file"
  done
  if [ "$whole" = yes ]; then
    install_service
  fi
}

say_next() {
  echo "installed: $destdir$prefix/bin/polykit-cache"
  if [ "$whole" = no ]; then
    echo "not root: no service was set up. Start it with: $prefix/bin/polykit-cache --storage-dir DIR"
  elif systemd_runs; then
    echo "settings: $etc/polykit-cache.yaml; start it, now and at each boot: systemctl enable --now polykit-cache"
  fi
}

uninstall_service() {
  if systemd_runs; then
    systemctl disable --now polykit-cache-fsck.timer polykit-cache.socket polykit-cache.service 2>/dev/null || true
  fi
  for file in "$here"/systemd/*.service "$here"/systemd/*.socket "$here"/systemd/*.timer; do
    rm -f "$destdir$units/systemd/system/${file##*/}"
  done
  rm -f "$destdir$units/sysusers.d/polykit-cache.conf" "$destdir$units/tmpfiles.d/polykit-cache.conf"
  if [ -f "$destdir$etc/polykit-cache.yaml" ] && settings | cmp -s - "$destdir$etc/polykit-cache.yaml"; then
    rm -f "$destdir$etc/polykit-cache.yaml"
    rmdir "$destdir$etc" 2>/dev/null || true
  fi
  if systemd_runs; then
    systemctl daemon-reload
  fi
}

uninstall_all() {
  if [ "$whole" = yes ]; then
    uninstall_service
  fi
  for file in bin/polykit-cache "$page1" "$page5" "$bash" "$zsh" "$fish"; do
    rm -f "$destdir$prefix/$file"
  done
  rm -rf "$destdir$prefix/share/doc/polykit-cache"
  echo "taken away; what stays, if it was there: $destdir$data, $destdir$etc, the user polykit"
}

case $action in
  install) install_all && say_next ;;
  uninstall) uninstall_all ;;
esac
