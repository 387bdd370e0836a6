internal import FoundationEssentials
internal import Platform

/// What storage needs of the medium's manifest, `/roost/manifest.json` of version 1.
///
/// `Recipe.ApplianceManifest` is the whole of it. Storage reads its own part so that the program that runs first of
/// all has neither the recipe's YAML parser in it nor the Foundation that the parser brings: 50 MB less to read from
/// a CD. A test holds the two together.
struct MediumManifest: Decodable {
  struct Storage: Decodable {
    let volumeGroup: String
    let ramBytes: Int
    let extentBytes: Int
    let mediumUUID: String
    let ramUUID: String
    let metadataTemplate: String
    let images: String
    let physicalVolumeFile: String
  }

  struct Domain: Decodable {
    struct Disk: Decodable {
      let imageVolume: String
      let volume: String
      let bytes: Int
    }

    let disk: Disk?
  }

  let version: Int
  let storage: Storage
  let domains: [Domain]
}

extension LivePlan {
  /// The plan that the manifest at `path` asks for, with the medium mounted at `medium`.
  public init(manifest path: String, medium: String) throws(StorageError) {
    struct Header: Decodable {
      let version: Int
    }
    let bytes = try storage("read the medium's manifest") { () throws(SystemError) in try Files.read(path) }
    let manifest: MediumManifest
    do {
      let data = Data(bytes)
      let version = try JSONDecoder().decode(Header.self, from: data).version
      guard version == 1 else {
        throw StorageError(
          .medium, "\(path) has version \(version), and this Roost reads version 1; use the medium's own Roost")
      }
      manifest = try JSONDecoder().decode(MediumManifest.self, from: data)
    } catch let error as StorageError {
      throw error
    } catch {
      throw StorageError(.medium, "\(path) is not the manifest of a Roost medium (\(error)); write the medium again")
    }
    for place in [manifest.storage.metadataTemplate, manifest.storage.images] {
      guard place.hasPrefix("/"), !place.split(separator: "/").contains("..") else {
        throw StorageError(.medium, "\(path) names a file outside of the medium: \(place); write the medium again")
      }
    }
    let storage = manifest.storage
    self.init(
      volumeGroup: storage.volumeGroup, ramBytes: storage.ramBytes, extentBytes: storage.extentBytes,
      mediumUUID: storage.mediumUUID, ramUUID: storage.ramUUID, metadataTemplate: medium + storage.metadataTemplate,
      images: medium + storage.images, physicalVolumeFile: storage.physicalVolumeFile,
      disks: manifest.domains.compactMap { domain in
        domain.disk.map { Disk(volume: $0.volume, imageVolume: $0.imageVolume, bytes: $0.bytes) }
      })
    try check()
  }
}
