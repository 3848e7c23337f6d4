# SPDX-License-Identifier: Apache-2.0
"""Certificates made when a test needs them, by the openssl program: nothing that expires is kept anywhere."""

import os
import subprocess


class Authority:
    """One that signs certificates. Everything is written into `directory`, under names that begin with `name`."""

    def __init__(self, directory, name="authority"):
        self.directory, self.name = directory, name
        self.pem, key = self.path(name, "pem"), self.path(name, "key")
        self.openssl("req", "-x509", *self.new_key(key), "-out", self.pem, "-subj", "/CN=" + name, "-days", "2")

    def path(self, name, ending):
        return os.path.join(self.directory, "%s.%s" % (name, ending))

    @staticmethod
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    @staticmethod
    def new_key(path):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path

    def sign(self, name, alternative="IP:127.0.0.1", days=2):
        """A certificate for a name of a host, and its key, as paths. A negative number of days makes one that has expired."""
        request, pem, key = (self.path(name, ending) for ending in ("csr", "pem", "key"))
        self.openssl("req", *self.new_key(key), "-out", request, "-subj", "/CN=" + name, "-addext", "subjectAltName=" + alternative)
        self.openssl("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self.path(self.name, "key"), "-CAcreateserial",
                     "-days", str(days), "-copy_extensions", "copy", "-out", pem)
        return pem, key
