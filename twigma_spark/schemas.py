"""Every Delta table: columns with comments, key, partitioning, checks and the way it is written; here only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pyspark.sql import types as t

TYPES: dict[str, t.DataType] = {
    "STRING": t.StringType(),
    "BOOLEAN": t.BooleanType(),
    "INT": t.IntegerType(),
    "BIGINT": t.LongType(),
    "DOUBLE": t.DoubleType(),
    "TIMESTAMP": t.TimestampType(),
    "BINARY": t.BinaryType(),
    "ARRAY<STRING>": t.ArrayType(t.StringType()),
    "ARRAY<FLOAT>": t.ArrayType(t.FloatType()),
    "ARRAY<MAP<STRING, STRING>>": t.ArrayType(t.MapType(t.StringType(), t.StringType())),
    "MAP<STRING, BIGINT>": t.MapType(t.StringType(), t.LongType()),
    "MAP<STRING, STRING>": t.MapType(t.StringType(), t.StringType()),
}

# What columns were called in older versions, if otherwise.
OLDER_COLUMNS = {"post_id": "tweet_id"}
# Where posts are from; of "file" are those that the metadata of a folder describes.
PLATFORMS = ("x", "bluesky", "mastodon", "file")

Mode = Literal["replace", "merge", "by_stage", "append"]
# What can be purged: posts, images, the keys of their pictures, and texts that nobody else wrote.
Kind = Literal["post", "image", "picture", "text"]


@dataclass(frozen=True)
class Column:
    """A column: its name, Spark SQL type and what it holds."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True)
class Table:
    """A declared table.

    Attributes:
        columns: in order.
        key: columns that are never null and together name one row.
        mode: how a stage writes it. ``replace``: the run's rows are the table; ``merge``: rows whose key
            is not there yet are inserted; ``by_stage``: the rows of the writing stage are replaced;
            ``append``: rows are added.
        checks: CHECK constraints, name to SQL expression.
        partition_by: columns of the folder layout.
        ids: whose rows they are: SQL expression of an id to its kind. `twigma purge` deletes a row where any of its
            ids is purged; a row without one names nobody.
        was: what the table was called in older versions, if otherwise.
        page_rows: rows of a page of its Parquet files at most, where some rows are read by their key and a row is
            large: the other pages are then left unread. None leaves it to Parquet, whose pages have 20,000 rows.
    """

    name: str
    comment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    mode: Mode = "replace"
    checks: Mapping[str, str] = field(default_factory=dict)
    partition_by: tuple[str, ...] = ()
    ids: Mapping[str, Kind] = field(default_factory=dict)
    was: str = ""
    page_rows: int | None = None

    @property
    def schema(self) -> t.StructType:
        """The Spark schema, with the key's columns not nullable."""
        return t.StructType([t.StructField(c.name, TYPES[c.type], c.name not in self.key) for c in self.columns])

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in order."""
        return [c.name for c in self.columns]


def _columns(text: str) -> tuple[Column, ...]:
    """Return columns from lines of ``name TYPE: comment``."""
    rows = [line.strip() for line in text.strip().splitlines()]
    heads = [row.split(":", 1) for row in rows]
    return tuple(Column(head.split(" ", 1)[0], head.split(" ", 1)[1], comment.strip()) for head, comment in heads)


# Of a post that no key names nothing is kept here: what has an id can be purged.
RAW_POSTS = Table(
    "raw_posts",
    "Posts as their platforms gave them, one row a post of a page; `posts` and `media` are made from these rows alone.",
    _columns("""
        corpus STRING: corpus that the post was read for
        platform STRING: where it was posted: x, bluesky or mastodon
        post_id STRING: id of the post
        collected_at TIMESTAMP: time of collection, where known
        file STRING: name of the page's file
        page BIGINT: number of the page, rising in the order in which the pages were read
        position INT: place in the page, from 0
        json STRING: the post, JSON as the page has it
        author MAP<STRING, STRING>: what the page says of the author, by field; what is no text as JSON
        media ARRAY<MAP<STRING, STRING>>: what the page says of the pictures that the post shows, likewise
    """),
    key=("corpus", "platform", "post_id"),
    checks={"platform_known": f"platform IN {PLATFORMS}"},
    ids={"post_id": "post"},
)

POSTS = Table(
    "posts",
    "Posts, parsed, one row a post.",
    _columns("""
        post_id STRING: id of the post; a string, since ids outgrow a double, and one of no other platform
        platform STRING: where it was posted: x, bluesky, mastodon, or file where metadata of a folder described it
        corpus STRING: corpus that the post was read for
        author_id STRING: id of the author
        author_followers BIGINT: followers of the author when collected
        created_at TIMESTAMP: time of posting, UTC
        text STRING: text as posted
        lang STRING: language tag
        hashtags ARRAY<STRING>: hashtags without the sign, in lower case
        like_count BIGINT: likes when collected
        retweet_count BIGINT: retweets when collected
        reply_count BIGINT: replies when collected
        quote_count BIGINT: quotes when collected
        possibly_sensitive BOOLEAN: the poster's or the platform's own flag
        source STRING: client or model named as the source
        collected_at TIMESTAMP: time of collection, where known
    """),
    key=("platform", "post_id"),
    checks={"platform_known": f"platform IN {PLATFORMS}"},
    ids={"post_id": "post"},
    was="tweets",
)

MEDIA = Table(
    "media",
    "Photos attached to posts, one row a post and position.",
    _columns("""
        media_key STRING: id of the picture; the same in every post that shows it
        post_id STRING: post that shows it
        position INT: place in the post, from 0
        corpus STRING: corpus that the post was read for
        url STRING: where the picture was served
        type STRING: kind of media
        width INT: width in pixels as announced
        height INT: height in pixels as announced
        alt_text STRING: description given by the poster
    """),
    key=("media_key", "post_id", "position"),
    ids={"post_id": "post"},
)

IMAGES = Table(
    "images",
    "Images that can be opened or came as vectors, one row an occurrence (a picture in two posts has two rows).",
    _columns("""
        image_id STRING: 32 hex digits from corpus, source_key and content (or vector); a changed one is another image
        corpus STRING: corpus as configured
        source_key STRING: path below the corpus's image folder, or post_id/media_key
        post_id STRING: post that shows it
        media_key STRING: id of the picture at the platform
        prompt STRING: prompt it was made from
        prompt_id STRING: id of the prompt
        artist STRING: artist
        genre STRING: genre
        title STRING: title
        caption STRING: caption that came with it
        created_at TIMESTAMP: time of posting or making
        sensitive BOOLEAN: flag that came with it; null where there is none
        sha256 STRING: checksum of the bytes; null, as the columns below, where the image came as a vector alone
        width INT: width in pixels as displayed, after EXIF rotation
        height INT: height in pixels as displayed, after EXIF rotation
        format STRING: file format as found in the bytes
        n_bytes BIGINT: size of the file
        content BINARY: the file's bytes
    """),
    key=("image_id",),
    checks={"id_form": "image_id RLIKE '^[0-9a-f]{32}$'", "sides": "n_bytes IS NULL OR (width > 0 AND height > 0)"},
    partition_by=("corpus",),
    ids={"image_id": "image"},
    page_rows=64,
)

DOWNLOADS = Table(
    "downloads",
    "Every attempt to download a picture; the last one of a picture says whether it is there.",
    _columns("""
        corpus STRING: corpus
        source_key STRING: the picture's media_key, or its path below the corpus's folder
        attempt INT: number of the attempt, from 1
        url STRING: address that was asked
        host STRING: its host
        at TIMESTAMP: when, UTC
        outcome STRING: ok, retry (another attempt may succeed) or final
        reason STRING: as one word, such as gone, status, timeout or not_an_image; docs/corpora.md has them all
        status INT: of the answer, where there was one
        n_bytes BIGINT: of the picture
        sha256 STRING: checksum of the picture
        seconds DOUBLE: how long it took
        detail STRING: what was seen
    """),
    key=("corpus", "source_key", "attempt"),
    mode="append",
    checks={"outcome_known": "outcome IN ('ok', 'retry', 'final')"},
    ids={"source_key": "picture"},
)

EMBEDDINGS = Table(
    "embeddings",
    "Image embeddings; another model or preprocessing adds rows and leaves the old ones.",
    _columns("""
        image_id STRING: image
        model_id STRING: model and revision
        preprocess_rev STRING: decoder, size and precision; imported, where the vector came with the image
        corpus STRING: corpus of the image
        dim INT: length of the embedding
        embedding ARRAY<FLOAT>: the vector, of unit length where the model's space is one of directions
    """),
    key=("image_id", "model_id", "preprocess_rev"),
    mode="merge",
    checks={"embedding_length": "size(embedding) = dim"},
    ids={"image_id": "image"},
)

HASHES = Table(
    "hashes",
    "Perceptual hashes of the images that have an embedding.",
    _columns("""
        image_id STRING: image
        model_id STRING: kind of hash
        preprocess_rev STRING: version of what is done to the pixels before
        vector BINARY: pixel vector: 63 floats of 16 bits, the lowest frequencies of the grey picture; 0 where flat
        windows BINARY: 19 hashes of 256 bits, of the whole picture and of 18 windows of it
    """),
    key=("image_id", "model_id", "preprocess_rev"),
    mode="merge",
    ids={"image_id": "image"},
)

THUMBNAILS = Table(
    "thumbnails",
    "Small pictures of the images that have a hash, of which an atlas is made without their files.",
    _columns("""
        image_id STRING: image
        thumbnail BINARY: JPEG file of at most 64 pixels a side and 2,000 bytes, not blurred
    """),
    key=("image_id",),
    mode="merge",
    ids={"image_id": "image"},
)

DUPLICATES = Table(
    "duplicates",
    "Images that repeat another one; images that are not listed here are kept.",
    _columns("""
        image_id STRING: the repeated image
        canonical_id STRING: the survivor of its group: earliest, then largest, then least id
        tier STRING: how it was found (media, bytes, embedding, near), the strictest that holds
        similarity DOUBLE: cosine of the two embeddings
    """),
    key=("image_id",),
    checks={
        "not_itself": "image_id <> canonical_id",
        "tier_known": "tier IN ('media', 'bytes', 'embedding', 'near')",
    },
    ids={"image_id": "image", "canonical_id": "image"},
)

SHARED_IMAGES = Table(
    "shared_images",
    "Kept images of a corpus that are in another corpus too; they stay in both.",
    _columns("""
        image_id STRING: image
        corpus STRING: its corpus
        other_id STRING: image of the other corpus
        other_corpus STRING: corpus of that image, later in the alphabet
        tier STRING: how the pair was found (bytes, near)
        bits INT: of 256, in which the hashes differ
    """),
    key=("image_id", "other_id"),
    checks={"two_corpora": "corpus < other_corpus", "tier_known": "tier IN ('bytes', 'near')"},
    ids={"image_id": "image", "other_id": "image"},
)

SCORES = Table(
    "scores",
    "Scores of images by heads and classifiers.",
    _columns("""
        image_id STRING: image
        model_id STRING: scorer and revision, and what made the vectors or pixels that it read
        kind STRING: name of the score in models.scores, such as nsfw
        score DOUBLE: between 0 and 1 for nsfw; about 1 to 10 for aesthetic
    """),
    key=("image_id", "model_id"),
    mode="merge",
    ids={"image_id": "image"},
)

CAPTIONS = Table(
    "captions",
    "Captions written by a model.",
    _columns("""
        image_id STRING: image
        model_id STRING: captioner, revision and decoding
        caption STRING: the caption
    """),
    key=("image_id", "model_id"),
    mode="merge",
    ids={"image_id": "image"},
)

TEXT_EMBEDDINGS = Table(
    "text_embeddings",
    "Embeddings of prompts, captions, posts and other texts by the image encoder's text tower, a row a distinct text.",
    _columns("""
        text_id STRING: 32 hex digits from source, corpus and text
        model_id STRING: model and revision; the same as that of the images' embeddings
        preprocess_rev STRING: precision and number of tokens
        source STRING: prompt, caption (of a model), human caption (that came with the image), post or text
        corpus STRING: corpus that it comes from
        text STRING: the text as embedded; a post without links and hashtags
        n_words INT: words of the text
        dim INT: length of the embedding
        embedding ARRAY<FLOAT>: the vector, of unit length
    """),
    key=("text_id", "model_id", "preprocess_rev"),
    mode="merge",
    checks={
        "embedding_length": "size(embedding) = dim",
        "source_known": "source IN ('prompt', 'caption', 'human caption', 'post', 'text')",
    },
    ids={"text_id": "text"},
)

CENTROIDS = Table(
    "centroids",
    "Cluster centres, one row a cluster.",
    _columns("""
        clustering_id STRING: clustering as configured
        cluster INT: cluster, numbered from 0 by falling size
        size BIGINT: images in it
        mean_distance DOUBLE: mean distance of its images to the centre
        centroid ARRAY<FLOAT>: the centre; of unit length under the cosine
    """),
    key=("clustering_id", "cluster"),
)

CLUSTERS = Table(
    "clusters",
    "Which cluster an image is in.",
    _columns("""
        image_id STRING: image
        clustering_id STRING: clustering as configured
        corpus STRING: corpus of the image
        cluster INT: cluster
        distance DOUBLE: distance to the centre; the cosine's is 0 to 2
    """),
    key=("image_id", "clustering_id"),
    ids={"image_id": "image"},
)

THEMES = Table(
    "themes",
    "Words that tell a cluster from the others, by class-based TF-IDF of its captions.",
    _columns("""
        clustering_id STRING: clustering as configured
        cluster INT: cluster
        rank INT: from 1
        term STRING: word
        weight DOUBLE: class-based TF-IDF
    """),
    key=("clustering_id", "cluster", "rank"),
)

NEIGHBOURS = Table(
    "neighbours",
    "The nearest images of each reference corpus to each post's image.",
    _columns("""
        image_id STRING: image of the posts
        reference STRING: reference corpus
        rank INT: from 1; ties in order of the neighbour's id
        neighbour_id STRING: image of the reference
        similarity DOUBLE: cosine
    """),
    key=("image_id", "reference", "rank"),
    ids={"image_id": "image", "neighbour_id": "image"},
)

COPIES = Table(
    "copies",
    "Images of the posts whose best match in a reference is closer than chance allows: candidates for copies.",
    _columns("""
        image_id STRING: image of the posts
        reference STRING: reference corpus
        neighbour_id STRING: its best match there
        similarity DOUBLE: cosine
        threshold DOUBLE: similarity from which an image is a candidate
        false_match_rate DOUBLE: estimated share of images that are no copies and reach this similarity
    """),
    key=("image_id", "reference"),
    ids={"image_id": "image", "neighbour_id": "image"},
)

PAIRS = Table(
    "pairs",
    "Pairs of images of one prompt of which one is clearly liked more.",
    _columns("""
        corpus STRING: corpus of both images
        prompt_key STRING: 32 hex digits of the corpus and the text of the prompt, or of the one that it counts as
        split_key STRING: equal for prompts that are on one side of every split; prompt_key unless some are near
        text_id STRING: that prompt, as in text_embeddings
        preferred_image_id STRING: the image that is liked more
        other_image_id STRING: the image that is liked less
        preferred_author_id STRING: author of the preferred image; of human judgements the image itself
        other_author_id STRING: likewise
        preferred_followers BIGINT: followers of the author
        other_followers BIGINT: likewise
        preferred_likes BIGINT: likes of the post, or what pairs.popularity counts; null of human judgements
        other_likes BIGINT: likewise
        preferred_created_at TIMESTAMP: when it was posted
        other_created_at TIMESTAMP: likewise
        cluster INT: cluster of the preferred image in the clustering of pairs.match, else in the first over all corpora
        nsfw BOOLEAN: whether one of the two images is NSFW; null where that is not known
        matched_on ARRAY<STRING>: what of pairs.match is alike; author or followers (band), days, hours, cluster, nsfw
        matched BOOLEAN: whether all of it is; judgements of people are matched on nothing and count as matched
        weight DOUBLE: 1 / the pairs of the prompt that are matched, or that are not
    """),
    key=("preferred_image_id", "other_image_id"),
    checks={"two_images": "preferred_image_id <> other_image_id"},
    ids={"preferred_image_id": "image", "other_image_id": "image"},
)

BASELINE_SCORES = Table(
    "baseline_scores",
    "Scores of the images in matched pairs for their prompts, by published reward models.",
    _columns("""
        image_id STRING: image
        text_id STRING: the prompt that it was scored for, as in text_embeddings
        kind STRING: name of the model in the configuration
        model_id STRING: model, revision and preprocessing
        score DOUBLE: score, on the model's own scale
    """),
    key=("image_id", "text_id", "kind", "model_id"),
    mode="merge",
    ids={"image_id": "image"},
)

HELD_OUT_PAIRS = Table(
    "held_out_pairs",
    "Matched pairs and what a reward model says of them that saw neither their prompt nor their authors.",
    _columns("""
        preferred_image_id STRING: the image that is liked more
        other_image_id STRING: the image that is liked less
        fold INT: part of the prompts that was held out together
        margin DOUBLE: the reward model's score of the preferred image less that of the other
        clip_margin DOUBLE: the same of the encoder's own score
    """),
    key=("preferred_image_id", "other_image_id"),
    ids={"preferred_image_id": "image", "other_image_id": "image"},
)

REWARD_SCORES = Table(
    "reward_scores",
    "Scores of the kept images by the trained reward model, each for its own text.",
    _columns("""
        image_id STRING: image
        corpus STRING: corpus of the image
        text_id STRING: the text that it was scored for, as in text_embeddings
        source STRING: what the text is: prompt, human caption (it came with the image) or caption (a model wrote it)
        score DOUBLE: from -1 to 1; scores of different texts are not to be compared as those of one are
    """),
    key=("image_id",),
    ids={"image_id": "image"},
)

ARTIFACTS = Table(
    "artifacts",
    "Files that are not tables, such as FAISS indexes, with what they were made from.",
    _columns("""
        artifact_id STRING: name of the file
        stage STRING: stage that made it
        kind STRING: what it is, such as faiss_index
        path STRING: where it lies
        checksum STRING: SHA-256 of it and its companions
        manifest STRING: what it was made from and how, as JSON; the file is used again while this holds
    """),
    key=("artifact_id",),
    mode="by_stage",
    partition_by=("stage",),
)

PROJECTION = Table(
    "projection",
    "The map: a place in the plane for each kept image.",
    _columns("""
        image_id STRING: image
        corpus STRING: corpus of the image
        x DOUBLE: place; without a unit
        y DOUBLE: place; without a unit
    """),
    key=("image_id",),
    ids={"image_id": "image"},
)

RESULTS = Table(
    "results",
    "Every statistic, one tidy row each.",
    _columns("""
        stage STRING: stage that computed it
        analysis STRING: analysis
        metric STRING: measure
        labels MAP<STRING, STRING>: what it is of, such as corpus to posts; docs/metrics.md has their names
        labels_key STRING: the labels as one text, equal for equal labels; for joins and keys, not to be parsed
        estimate DOUBLE: value; Infinity where that is the value
        low DOUBLE: lower end of the interval
        high DOUBLE: upper end of the interval
        n BIGINT: units that it rests on
        unit STRING: what n counts
        method STRING: estimator and interval, in words
    """),
    key=("stage", "analysis", "metric", "labels_key"),
    mode="by_stage",
    partition_by=("stage",),
)

GROUP_DISTANCES = Table(
    "group_distances",
    "How far apart the images of one post, prompt or artist are, one row a sampled group.",
    _columns("""
        corpus STRING: corpus
        unit STRING: what the group is: posts, prompts or artists
        group_id STRING: the post, the prompt or the artist
        images INT: images of it that were compared
        n_words INT: words of the prompt, where there is one
        distance DOUBLE: mean Euclidean distance of the pairs of its images, as unit vectors
        vendi DOUBLE: Vendi score of its images
    """),
    key=("corpus", "unit", "group_id"),
    checks={"pairs": "images > 1"},
    ids={"group_id": "post"},
)

REPORTS = Table(
    "reports",
    "The report, as one HTML document.",
    _columns("""
        report_id STRING: name of the report
        created_at TIMESTAMP: when it was made
        html STRING: the document, without outside references
    """),
    key=("report_id",),
)

REJECTS = Table(
    "rejects",
    "What could not be used, and why.",
    _columns("""
        stage STRING: stage that refused it
        unit STRING: what was refused (image, post, metadata, text, vector, judgement)
        corpus STRING: corpus
        key STRING: source_key, post id, or file and row
        reason STRING: reason as one word
        detail STRING: what was seen
    """),
    key=("stage", "unit", "corpus", "key", "reason", "detail"),
    mode="by_stage",
    partition_by=("stage",),
    # The ids of some platforms have slashes, the keys of pictures have none.
    ids={"if(unit = 'post', key, regexp_replace(key, '/[^/]*$', ''))": "post", "key": "picture"},
)

RUNS = Table(
    "runs",
    "Every run of a stage.",
    _columns("""
        run_id STRING: id of the run
        stage STRING: stage
        status STRING: ok or failed
        started_at TIMESTAMP: start, UTC
        seconds DOUBLE: how long it took
        rows_in MAP<STRING, BIGINT>: rows of each table read
        rows_out MAP<STRING, BIGINT>: rows written to each table
        rejects MAP<STRING, BIGINT>: rows refused, by reason
        account MAP<STRING, BIGINT>: images in, kept, duplicates and rejects, where the stage keeps an account
        state STRING: hash of configuration, inputs and package version; an equal one is skipped
        config_hash STRING: hash of the stage's part of the configuration
        input_versions MAP<STRING, BIGINT>: Delta version of each table read
        output_versions MAP<STRING, BIGINT>: Delta version of each table written
        versions MAP<STRING, STRING>: packages and models
        error STRING: what failed
    """),
    key=("run_id", "stage"),
    mode="append",
    checks={"status_known": "status IN ('ok', 'failed')"},
)

TOMBSTONES = Table(
    "tombstones",
    "What was purged and must not come back: digests only, from which no id can be read.",
    _columns("""
        kind STRING: post, image or picture; or purge, where one is not done yet
        digest STRING: SHA-256 of the id
        at TIMESTAMP: when it was purged, UTC
    """),
    key=("kind", "digest"),
    mode="merge",
    checks={"digest_form": "digest RLIKE '^[0-9a-f]{64}$'"},
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        DOWNLOADS, RAW_POSTS, POSTS, MEDIA, IMAGES, EMBEDDINGS, HASHES, THUMBNAILS, DUPLICATES, SHARED_IMAGES, SCORES,
        CAPTIONS, TEXT_EMBEDDINGS, CENTROIDS, CLUSTERS, THEMES, NEIGHBOURS, COPIES, PROJECTION, PAIRS, BASELINE_SCORES,
        HELD_OUT_PAIRS, REWARD_SCORES, ARTIFACTS, RESULTS, GROUP_DISTANCES, REPORTS, REJECTS, RUNS, TOMBSTONES,
    )
}  # fmt: skip
