# The exact set of libraries that CI used, on Python 3.11.
#   docker build -t irsde . && docker run --rm -v "$PWD/reports:/irsde/reports" irsde
FROM python:3.11-slim
RUN apt-get update && apt-get install --no-install-recommends --yes git \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /irsde
COPY . .
RUN pip install --no-cache-dir -c constraints.txt -e '.[test]'
CMD ["snakemake", "--cores", "8", "reports/tables.md"]
