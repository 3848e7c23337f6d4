# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a request is said, and nothing changes for it."""

from harness import ClusterTest, options_of, service, wait_for

UNITS = "/fleet/v1/units"


class BadInput(ClusterTest):
    n_machines = 1

    def setUp(self):
        super().setUp()
        self.before = self.cluster.records()

    def assert_nothing_changed(self):
        # The engine may sweep files that earlier tests have left.
        after = self.cluster.records()
        swept = {key for key in self.before.keys() - after.keys() if key.startswith("file/")}
        self.assertEqual(after, {key: revision for key, revision in self.before.items() if key not in swept})

    def put(self, unit, text=None, **more):
        body = dict(more)
        if text is not None:
            body["options"] = options_of(text)
        return self.cluster.api("PUT", f"{UNITS}/{unit}", body)

    def test_a_file_that_does_not_parse_names_file_and_line(self):
        self.cluster.put_unit("broken.service", "[Service]\nExecStart=/bin/true\n[Install\nX=y\n")
        rc, _, err = self.cluster.fleetctl("start", "broken.service")
        self.assertEqual(rc, 1)
        self.assertRegex(err, r"broken\.service.*3")
        self.assert_nothing_changed()

    def test_a_file_that_does_not_exist(self):
        rc, _, err = self.cluster.fleetctl("start", "nowhere.service")
        self.assertEqual(rc, 1)
        self.assertIn("unable to find Unit(nowhere.service) in Registry or on filesystem", err)
        self.assert_nothing_changed()

    def test_names(self):
        for name, pattern in (
            ("noext", 'must contain "\\."'),
            ("x.", 'cannot end in "\\."'),
            ("x.unit", 'invalid unit type: "unit"'),
            ("a@b.device", 'invalid unit type for template: "device"'),
            ("a%20b.service", "invalid character ' ' in unit name"),
            ("@a.service", 'cannot start in "@"'),
            ("a" * 250 + ".service", "exceeds maximum length \\(256\\)"),
        ):
            with self.subTest(name):
                self.assert_refused(self.put(name, service(), desiredState="inactive"), 400, pattern)
        self.assert_nothing_changed()

    def test_unknown_desired_state_on_create(self):
        self.assert_refused(self.put("x.service", service(), desiredState="flying"), 400, 'invalid value "flying" for JobState')
        self.assert_nothing_changed()

    def test_unknown_desired_state_on_update(self):
        self.assertEqual(self.put("x.service", service(), desiredState="inactive").status, 201)
        self.before = self.cluster.records()
        self.assert_refused(self.put("x.service", desiredState="flying"), 400, 'invalid value "flying" for JobState')
        self.assert_nothing_changed()
        self.assertEqual(self.cluster.units()["x.service"]["desiredState"], "inactive")

    def test_option_combinations_on_create(self):
        for lines, pattern in (
            (["MachineID=abc", "MachineOf=b.service"], "MachineID cannot be used with Peers"),
            (["MachineID=abc", "Conflicts=b.service"], "MachineID cannot be used with Conflicts"),
            (["MachineID=abc", "Global=true"], "MachineID cannot be used with Global"),
            (["Global=true", "MachineOf=b.service"], "Global cannot be used with Peers"),
            (["MachineOf=b.service", "Conflicts=b*"], 'peer "b.service" matches conflict "b\\*"'),
        ):
            with self.subTest(lines):
                self.assert_refused(self.put("x.service", service(fleet_lines=lines), desiredState="inactive"), 400, pattern)
        self.assert_nothing_changed()

    def test_option_combinations_on_replace(self):
        self.assertEqual(self.put("x.service", service(), desiredState="inactive").status, 201)
        self.before = self.cluster.records()
        bad = service(fleet_lines=["MachineID=abc", "Global=true"])
        self.assert_refused(self.put("x.service", bad, desiredState="inactive"), 400, "MachineID cannot be used with Global")
        self.assert_nothing_changed()

    def test_a_body_that_is_not_json(self):
        for data in (b"", b"{", b"hello", b"[]", b'{"options":7}', b"\xff\xfe\x00", b'{"name":"x.service"' * 3):
            with self.subTest(data):
                self.assert_refused(self.cluster.api("PUT", f"{UNITS}/x.service", data), 400, "unable to decode body")
        self.assert_nothing_changed()

    def test_ten_megabytes_of_it(self):
        for data in (b"x" * 10_000_000, b'{"desiredState":"' + b"x" * 10_000_000 + b'"}', b"[" * 10_000_000):
            try:
                self.assertIn(self.cluster.api("PUT", f"{UNITS}/x.service", data).status, (400, 413))
            except (BrokenPipeError, ConnectionResetError):
                pass  # it may hang up on such a peer, as long as the daemon lives
        self.assert_nothing_changed()
        self.assertEqual(self.cluster.api("GET", UNITS).status, 200)

    def test_content_type(self):
        for kind in (None, "text/plain"):
            reply = self.cluster.api("PUT", f"{UNITS}/x.service", b"{}", headers={"Content-Type": kind})
            self.assertEqual(reply.status, 415, str(reply))
        self.assert_nothing_changed()

    def test_no_options_and_no_state(self):
        self.assert_refused(self.put("x.service", desiredState="launched"), 409, "unit does not exist and options field empty")
        self.assertEqual(self.put("x.service", service(), desiredState="inactive").status, 201)
        self.before = self.cluster.records()
        self.assert_refused(self.put("x.service"), 409, "must provide DesiredState to update existing unit")
        self.assert_nothing_changed()

    def test_a_name_that_is_not_the_urls(self):
        self.assert_refused(self.put("x.service", service(), name="y.service"), 400, 'name in URL "x.service" differs from unit name in request body "y.service"')
        self.assert_nothing_changed()

    def test_units_that_do_not_exist(self):
        for method, path in (("GET", UNITS + "/no.service"), ("DELETE", UNITS + "/no.service")):
            self.assert_refused(self.cluster.api(method, path), 404, "unit does not exist")
        self.assert_refused(self.cluster.api("GET", "/fleet/v1/state/no.service"), 404, "unit state does not exist")
        self.assertEqual(self.cluster.api("GET", "/fleet/v1/nothing").status, 404)

    def test_methods(self):
        for method, path in (("POST", "/fleet/v1/state"), ("DELETE", "/fleet/v1/machines"), ("PATCH", UNITS + "/x.service")):
            self.assertEqual(self.cluster.api(method, path).status, 405, path)
        self.assert_nothing_changed()

    def test_page_tokens(self):
        for token, pattern in (("!", "illegal base64"), ("AA==", "unexpected EOF"), ("BQABAA==", "token limit must be 100")):
            self.assert_refused(self.cluster.api("GET", f"{UNITS}?nextPageToken={token}"), 400, pattern)

    def test_unknown_commands_and_flags_of_fleetctl(self):
        for arguments in (["fly"], ["list-units", "--fly"], ["list-units", "--fields=unit,wings"]):
            rc, _, err = self.cluster.fleetctl(*arguments)
            self.assertNotEqual(rc, 0, arguments)
            self.assertRegex(err, "fly|wings")

    def test_a_record_that_does_not_parse_is_skipped_and_named(self):
        machine = self.machines[0]
        keys = ["unit/garbled.service", "placement/garbled.service", f"schedule/{machine.id}/garbled.service", "file/0123"]
        for key in keys:
            self.cluster.etcdctl("put", "/fleet/" + key, "{not json")
        try:
            self.cluster.start({"fine.service": service()}).ok()
            self.assert_active_once("fine.service")
            self.assertEqual(set(self.cluster.units()), {"fine.service"})
            wait_for(lambda: "garbled.service" in machine.journal(), what="the log names the record")
            # The same after the daemon has read everything anew.
            machine.exec("systemctl", "restart", "fleet.service").ok()
            self.cluster.start({"fine2.service": service()}).ok()
            self.assert_active_once("fine2.service")
            self.assert_active_once("fine.service")
        finally:
            for key in keys:
                self.cluster.etcdctl("del", "/fleet/" + key)

    def test_a_bad_configuration_names_file_line_and_key(self):
        machine = self.machines[0]
        for line, pattern in (("agent_ttl=fast", r"/tmp/bad\.conf:2: .*agent_ttl"), ("wings=2", r"/tmp/bad\.conf:2: .*wings")):
            machine.exec("sh", "-c", f"printf '# a comment\\n{line}\\n' >/tmp/bad.conf").ok()
            fleetd = machine.exec("sh", "-c", "command -v fleetd || ls /usr/sbin/fleetd /usr/libexec/fleetd 2>/dev/null | head -n 1").out.strip()
            rc, _, err = machine.exec(fleetd, "--config", "/tmp/bad.conf", timeout_s=10)
            self.assertNotEqual(rc, 0)
            self.assertRegex(err, pattern)
