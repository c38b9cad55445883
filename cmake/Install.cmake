include(GNUInstallDirs)
install(TARGETS tlsmend RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
# As examples: tlsmend reads /etc/tlsmend/tlsmend.conf, and no install may replace the one that is there.
install(FILES ${CMAKE_SOURCE_DIR}/config/tlsmend.conf ${CMAKE_SOURCE_DIR}/deploy/tlsmend.service
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES ${CMAKE_SOURCE_DIR}/docs/man/tlsmend.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
install(FILES ${CMAKE_SOURCE_DIR}/docs/man/tlsmend.conf.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
