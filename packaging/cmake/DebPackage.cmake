# The configuration of CPack for the .deb, which packaging/scripts/package runs as `cpack --config` with these in the
# environment: PKC_STAGE is what the package shall hold, laid out as it will be below /; PKC_VERSION; PKC_CONFFILES, the
# list of settings files; SOURCE_DATE_EPOCH, the time of all files.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME polykit-cache)
set(CPACK_PACKAGE_FILE_NAME polykit-cache)
set(CPACK_PACKAGE_VERSION "$ENV{PKC_VERSION}")
set(CPACK_INSTALLED_DIRECTORIES "$ENV{PKC_STAGE};/")
set(CPACK_PACKAGING_INSTALL_PREFIX /)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "The polykit-cache authors <maintainers@polykit-cache.example>")
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "build cache server")
set(CPACK_PACKAGE_DESCRIPTION "\
One program that keeps the results of build tools in one directory and serves
them to everybody in the team. It speaks the protocol of the Polykit build
system, checks every byte that it stores and serves, and survives a loss of
power without losing what it has acknowledged.

The server runs as the user polykit and keeps artifacts in /var/cache/polykit.
Settings are in /etc/polykit-cache/polykit-cache.yaml.")
# glibc in the version that the program really needs, found by dpkg-shlibdeps; the rest is linked in. adduser makes the
# user, also where no systemd is.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS adduser)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(deb "${CMAKE_CURRENT_LIST_DIR}/../deb")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  "${deb}/preinst" "${deb}/postinst" "${deb}/prerm" "${deb}/postrm" "$ENV{PKC_CONFFILES}")
