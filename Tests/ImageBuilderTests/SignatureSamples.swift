/// Keys and signatures of GPG's, made for the tests; nobody has the secret keys.
enum SignatureSamples {
  static let content = "signed content\n"

  /// Whose signatures these are.
  static let key = """
    -----BEGIN PGP PUBLIC KEY BLOCK-----

    mDMEZ3SFgBYJKwYBBAHaRw8BAQdAf7gbe9sf0z8Jnr+Wrz3G25mbO8ys53ewx/Bq
    6RUHYtC0F2dvb2QgPGdvb2RAZXhhbXBsZS5vcmc+iJAEExYIADgWIQQ+oY0ugz67
    skkZzlMCuU1zkQaT+AUCZ3SFgAIbAwULCQgHAgYVCgkICwIEFgIDAQIeAQIXgAAK
    CRACuU1zkQaT+N1cAPsFL5SVP0wtIXBKVHcBlFyewi61uQYR5iPh1OEfB971nwEA
    uDmhGVasXzgTenUDFTNPZyZ9ckR2xpiftreZodrBYgc=
    =nsxn
    -----END PGP PUBLIC KEY BLOCK-----

    """

  /// Somebody else.
  static let otherKey = """
    -----BEGIN PGP PUBLIC KEY BLOCK-----

    mDMEZ3SFgBYJKwYBBAHaRw8BAQdAHN5Q5OtB4xxU9pm2+4NBKMzj0RjrMhd5V3O5
    DSeSzy60GW90aGVyIDxvdGhlckBleGFtcGxlLm9yZz6IkAQTFggAOBYhBG68IvCX
    wkhSjT3Q+5dppmcsRFtuBQJndIWAAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheA
    AAoJEJdppmcsRFtugOYBAIKa/4OHNcLhiI42JEXI8GjYhuL9tk861TKlGuhZwaWE
    AP9JfsNtWeJju0h8ntcMVGyMsHKIb88Pb4R8cOwpyPkbDQ==
    =pbMz
    -----END PGP PUBLIC KEY BLOCK-----

    """

  /// Of `content`.
  static let detached = """
    -----BEGIN PGP SIGNATURE-----

    iIcEABYIAC8WIQQ+oY0ugz67skkZzlMCuU1zkQaT+AUCZ3SFgBEcZ29vZEBleGFt
    cGxlLm9yZwAKCRACuU1zkQaT+LdBAP9GX/o8XydhNZOecEAmCdvmfjsGSz0IB5Vw
    B9nZ0Ef47QEAo8BloZ+n3RRncWPQ27yP/p04hvpYwEhg2ifN3DwOcAo=
    =jbIn
    -----END PGP SIGNATURE-----

    """

  /// A list as sha256sum makes it, with the digest of `content`.
  static let list = """
    -----BEGIN PGP SIGNED MESSAGE-----
    Hash: SHA256

    3011c1b3b00a41b72b592e4766d34fdf693cf26c4d352344ac1e65b33c9b2f17  file
    -----BEGIN PGP SIGNATURE-----

    iIcEARYIAC8WIQQ+oY0ugz67skkZzlMCuU1zkQaT+AUCZ3SFgBEcZ29vZEBleGFt
    cGxlLm9yZwAKCRACuU1zkQaT+LO7AP9lJ4F5O7X7AALvqZ6XRA+Q6I2lcIPlLp9U
    V1MckH7MHgEAjNQCzhg989U0fCE8kya3FPYKd/MVPrr/L2H1uYTaKAY=
    =J80O
    -----END PGP SIGNATURE-----

    """
}
