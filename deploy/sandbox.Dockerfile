# What the docker sandbox runs in: an interpreter, the packages that models expect, and the driver.
# Nothing else of ours, no tool that could raise privileges, and nothing to download at run time.
#
#     docker build -t threadmill/sandbox -f deploy/sandbox.Dockerfile .
#
# Where no image can be pulled, deploy/sandbox-base makes a base that already holds the packages.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

ARG PACKAGES="ipython~=9.10 matplotlib~=3.10 matplotlib-inline~=0.2 numpy~=2.2 pandas>=2.3,<4 scipy>=1.15,<2 sympy~=1.13 openpyxl~=3.1 pillow>=11"

RUN test -x /opt/venv/bin/python || ( \
        python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir ${PACKAGES} )

COPY services/tool_code/sandbox/driver /opt/sandbox/services/tool_code/sandbox/driver

# The driver's package name, bytecode for everything (the file system is read-only later),
# matplotlib's list of fonts, and no setuid or setgid bit anywhere.
RUN touch /opt/sandbox/services/__init__.py \
        /opt/sandbox/services/tool_code/__init__.py \
        /opt/sandbox/services/tool_code/sandbox/__init__.py \
    && /opt/venv/bin/python -m compileall -q /opt/sandbox \
    && MPLCONFIGDIR=/opt/sandbox/fonts MPLBACKEND=agg /opt/venv/bin/python -c \
        "import IPython, numpy, pandas, matplotlib.pyplot, matplotlib_inline.backend_inline" \
    && chmod -R a+rX /opt/sandbox \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && mkdir -p /mnt/data

USER 10001:10001
WORKDIR /mnt/data
