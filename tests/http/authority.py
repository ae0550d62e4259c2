"""A certificate authority of the tests' own, by openssl."""

import subprocess

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise AssertionError(f"openssl {arguments}: {done.stderr}")


def make_authority(folder, name):
    """Makes NAME.pem and NAME.key in the folder."""
    openssl("req", "-x509", *KEY, "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem",
            "-days", "2", "-subj", f"/CN={name}")


def make_certificate(folder, authority, name):
    """Makes NAME.pem and NAME.key of a server called localhost; 127.0.0.1 is another name."""
    openssl("req", *KEY, "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.csr", "-subj", "/CN=localhost")
    with open(f"{folder}/{name}.ext", "w", encoding="ascii") as file:
        file.write("subjectAltName=DNS:localhost\n")
    openssl("x509", "-req", "-in", f"{folder}/{name}.csr", "-CA", f"{folder}/{authority}.pem",
            "-CAkey", f"{folder}/{authority}.key", "-CAcreateserial", "-days", "2",
            "-extfile", f"{folder}/{name}.ext", "-out", f"{folder}/{name}.pem")


def make_certificates(folder):
    """Makes two authorities, `ours` and `other`, and the certificate of a `server` by ours."""
    make_authority(folder, "ours")
    make_authority(folder, "other")
    make_certificate(folder, "ours", "server")
