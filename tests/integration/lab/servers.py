# SPDX-License-Identifier: Apache-2.0
"""All real servers by name, for tests that go through them."""

from .exim import EximClient, EximMx
from .oneshot import Dma, Msmtp, Nullmailer
from .opensmtpd import OpenSmtpdClient, OpenSmtpdMx
from .postfix import PostfixClient, PostfixMx
from .sendmail import SendmailClient

MX = {"postfix": PostfixMx, "exim": EximMx, "opensmtpd": OpenSmtpdMx}
CLIENTS = {"postfix": PostfixClient, "exim": EximClient, "opensmtpd": OpenSmtpdClient,
           "sendmail": SendmailClient}
ONESHOT = {"msmtp": Msmtp, "nullmailer": Nullmailer, "dma": Dma}
